//! The system's resolver configuration, asked without blocking.

use super::{Answer, ResolveError, Resolver};
use async_trait::async_trait;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{TokioResolver, system_conf};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Questions under way at one time; more wait their turn, so that a start with thousands of names is no flood.
const MAX_CONCURRENT: usize = 32;

/// Time for one question, over all of the system's resolvers, search domains and tries.
const DEADLINE: Duration = Duration::from_secs(5);

/// Time for one try. The system's default of 5 s would leave no room for a second.
const TRY: Duration = Duration::from_secs(2);

/// Resolves by `/etc/resolv.conf` and `/etc/hosts` as they were when this was made.
#[derive(Debug)]
pub struct SystemResolver {
    resolver: TokioResolver,
    turns: Semaphore,
}

// === impl SystemResolver ===

impl SystemResolver {
    /// Reads the system's configuration.
    ///
    /// # Errors
    /// [`ResolveError::Failed`], when it can't be read.
    pub fn new() -> Result<Self, ResolveError> {
        let (config, options) = system_conf::read_system_conf().map_err(|e| failed(&e))?;
        Self::with_config(config, options)
    }

    pub(super) fn with_config(
        config: ResolverConfig,
        mut options: ResolverOpts,
    ) -> Result<Self, ResolveError> {
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.cache_size = 0;
        options.timeout = options.timeout.min(TRY);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Ok(Self {
            resolver: builder.build().map_err(|e| failed(&e))?,
            turns: Semaphore::new(MAX_CONCURRENT),
        })
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Answer, ResolveError> {
        // Each turn ends by the deadline and turns are taken in order, so this wait ends too. It can't fail, as
        // the semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let found = tokio::time::timeout(DEADLINE, self.resolver.lookup_ip(name))
            .await
            .map_err(|_elapsed| ResolveError::Timeout)?
            .map_err(|error| failed(&error))?;
        let now = Instant::now();
        Ok(Answer {
            addresses: found.iter().collect(),
            ttl: Instant::from_std(found.valid_until()).saturating_duration_since(now),
        })
    }
}

fn failed(error: &NetError) -> ResolveError {
    if error.is_no_records_found() {
        ResolveError::NoAddress
    } else if matches!(error, NetError::Timeout) {
        ResolveError::Timeout
    } else {
        ResolveError::Failed(error.to_string())
    }
}
