//! A client, made from a kubeconfig or from what Kubernetes gives each pod.

use super::fault::Fault;
use anyhow::Context;
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};
use kube::client::ClientBuilder;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tower::util::MapResponseLayer;

/// Time for a connection, with TLS.
const CONNECT: Duration = Duration::from_secs(2);
/// Time for an answer as a whole.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where the API server is, and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    /// Without one, the environment of a pod.
    kubeconfig: Option<PathBuf>,
    /// What the last refusal's `Retry-After` asks for, in seconds. The library's errors don't have it, and API Priority and
    /// Fairness tells it nowhere else.
    wait: Arc<AtomicU64>,
}

// === impl Access ===

impl Access {
    /// By a kubeconfig file, which names the server and the user; none: by the environment that Kubernetes gives each pod.
    ///
    /// Nothing is read yet.
    pub(crate) fn new(kubeconfig: Option<PathBuf>) -> Self {
        Self {
            kubeconfig,
            wait: Arc::default(),
        }
    }

    /// A new client for the event loop that calls this; it has no connection yet. Its `default_namespace` is the kubeconfig's or
    /// the pod's.
    ///
    /// # Errors
    /// A file is missing or can't be used; the message names it.
    pub(crate) async fn client(&self) -> Result<Client, Fault> {
        let made = async {
            let mut config = self.config().await?;
            config.connect_timeout = Some(CONNECT);
            // Who calls knows better what an answer may take, and when to ask again.
            (config.read_timeout, config.default_retry) = (None, false);
            anyhow::ensure!(
                config.auth_info.exec.is_none() && config.auth_info.auth_provider.is_none(),
                "`exec` and `auth-provider` are not supported: give the user a `tokenFile` or a certificate"
            );
            read_token(&mut config.auth_info)?;
            let wait = self.wait.clone();
            let heard = MapResponseLayer::new(move |answer: Response<_>| {
                wait.store(retry_after(&answer), Relaxed);
                answer
            });
            Ok(ClientBuilder::try_from(config)?.with_layer(&heard).build())
        };
        let made: anyhow::Result<Client> = made.await;
        made.map_err(|error| Fault::new(format!("{}: {error:#}", self.name())))
    }

    /// Gives a call the time that an answer may take.
    ///
    /// # Errors
    /// The call's, or that it takes too long.
    pub(crate) async fn within<T>(
        &self,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(DEADLINE, call).await {
            Ok(done) => done.map_err(|error| {
                let wait = Duration::from_secs(self.wait.swap(0, Relaxed));
                Fault::from(error).at_least(wait)
            }),
            Err(_) => Err(Fault::new(format!("no answer within {DEADLINE:?}"))),
        }
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let Some(path) = &self.kubeconfig else {
            return Config::incluster_env().context(
                "what Kubernetes gives each pod isn't there (run in a pod with automountServiceAccountToken, or name a kubeconfig)",
            );
        };
        let file = Kubeconfig::read_from(path)?;
        // In whichever part of it: the one from the environment is told from it so.
        let text = serde_json::to_string(&file)?;
        anyhow::ensure!(
            !text.contains("\"proxy-url\":\""),
            "`proxy-url` is not supported"
        );
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(file, &options).await?;
        // The library takes one from the environment, which is the environment's of all programs.
        config.proxy_url = None;
        Ok(config)
    }

    fn name(&self) -> String {
        match &self.kubeconfig {
            Some(path) => path.display().to_string(),
            None => "the pod's service account".to_owned(),
        }
    }
}

/// Seconds that a refusal asks to be left alone; 0: none.
fn retry_after<B>(answer: &Response<B>) -> u64 {
    let refuses = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    if !refuses.contains(&answer.status()) {
        return 0;
    }
    let said = answer.headers().get(RETRY_AFTER);
    let seconds = said.and_then(|said| said.to_str().ok()?.trim().parse().ok());
    seconds.unwrap_or(0)
}

/// Reads the token now. Left to the library, a token is as old as a minute, and a line's end in the file makes it invalid.
fn read_token(auth: &mut AuthInfo) -> anyhow::Result<()> {
    let (None, Some(path)) = (&auth.token, auth.token_file.take()) else {
        return Ok(());
    };
    let token = std::fs::read_to_string(Path::new(&path)).with_context(|| path.clone())?;
    auth.token = Some(token.trim().to_owned().into());
    Ok(())
}

#[cfg(test)]
mod tests;
