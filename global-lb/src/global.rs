//! What the global tier's configuration means: each route leads to regions, each a pool of replicas.

use lb_core::balance::Policy;
use lb_core::config::change::{self, Deferred};
use lb_core::config::load_global;
use lb_core::config::model::{
    Global, HashOn, HealthCheck, HttpCheck, Region, SlowStart, TcpCheck, ZonePreference,
};
use lb_core::config::read::{Faults, Layers};
use lb_core::config::scalar::DurationText;
use lb_runtime::build::{MemberSpec, PoolSpec, Site, Targets};
use lb_runtime::clock;
use lb_runtime::plan::{Action, Tier};
use lb_runtime::tier::{Common, TierProgram};
use lb_runtime::upstream::{Protection, RegionEntry, RegionRoute, RegionSet, Sticky};
use std::sync::Arc;
use std::time::Duration;

/// How often the host names of replicas are resolved again.
const RESOLVE: Duration = Duration::from_secs(10);

/// Share of healthy replicas below which their health is ignored: only when there is none at all.
const NONE_HEALTHY: f64 = f64::MIN_POSITIVE;

/// The global tier.
#[derive(Debug)]
pub(crate) struct GlobalTier;

impl TierProgram for GlobalTier {
    type Config = Global;

    const TIER: Tier = Tier::Global;

    fn load(layers: &Layers) -> Result<Global, Faults> {
        load_global(layers)
    }

    fn common(config: &Global) -> Common<'_> {
        Common {
            name: &config.name,
            region: None,
            threads: config.threads,
            threading: config.threading,
            listeners: &config.listeners,
            admin: &config.admin,
            peers: &config.peers,
            trusted_proxies: &config.trusted_proxies,
            limits: &config.limits,
            shutdown: &config.shutdown,
            run_directory: config.run_directory.as_deref(),
            state: &config.state,
            access_log: &config.access_log,
            routes: &config.routes,
        }
    }

    fn carry_over(old: &Global, new: Global) -> (Global, Vec<Deferred>) {
        change::carry_over_global(old, new)
    }

    fn targets(config: &Global, site: &Site) -> Result<Targets, String> {
        let mut entries = Vec::with_capacity(config.regions.len());
        for region in &config.regions {
            entries.push(RegionEntry {
                name: region.name.clone(),
                priority: region.priority,
                weight: region.weight,
                capacity_rps: region.capacity_rps,
                location: region.location,
                pool: site.pool(spec(region))?,
                memory: site.region(region.name.as_str(), &config.failover),
            });
        }
        let pools = entries.iter().map(|entry| entry.pool.clone()).collect();
        let set = Arc::new(RegionSet::new(
            entries,
            config.failover.clone(),
            site.together(),
            site.region_counters(),
            clock::now(),
        ));
        let actions = config.routes.iter().map(|route| {
            let choice = route.regions.clone().unwrap_or_default();
            let sticky = choice
                .affinity
                .as_ref()
                .map(|affinity| Sticky::for_regions(affinity, &site.base, &site.metrics.families));
            let sticky = sticky
                .transpose()
                .map_err(|error| format!("route {}: regions.{error}", route.name))?;
            let regions = RegionRoute::new(set.clone(), &choice, sticky);
            Ok(Some((Action::Regions(regions), "regions".to_owned())))
        });
        let actions = actions.collect::<Result<_, String>>()?;
        Ok(Targets {
            pools,
            regions: Some(set),
            geo: config.geo.clone(),
            actions,
            capacity_rps: None,
        })
    }
}

/// A region's replicas as a pool. With one healthy replica left the region serves through that one. With none
/// the region is unhealthy and chosen as a last resort only; then it must still have replicas to offer: when
/// every check of every region fails, the checks are the likelier fault.
fn spec(region: &Region) -> PoolSpec {
    PoolSpec {
        name: region.name.to_string(),
        policy: Policy::P2c,
        hash_on: HashOn::default(),
        panic_threshold: NONE_HEALTHY,
        outlier: region.outlier.clone(),
        slow_start: SlowStart::default(),
        zone: None,
        zone_preference: ZonePreference::default(),
        affinity: None,
        check: region
            .health_check
            .clone()
            .unwrap_or_else(|| default_check(region)),
        // The regional tier protects its pools; here a region's own refusal is the signal.
        protection: Protection::default(),
        protocol: region.protocol,
        tls: region.tls.clone(),
        idle_timeout: region.idle_timeout.get(),
        learn_idle_timeout: true,
        resolve_interval: RESOLVE,
        services: None,
        members: region
            .replicas
            .iter()
            .map(|replica| MemberSpec {
                name: replica.name.clone(),
                address: replica.address.clone(),
                weight: replica.weight,
                zone: None,
                admin: replica.admin.clone(),
            })
            .collect(),
    }
}

/// `GET /readyz` where every replica has an admin address, else a TCP connection. The timeout leaves room for
/// two round trips between continents; three of them, after an interval of 1.1 s at most, find a frozen
/// region within 3 s.
fn default_check(region: &Region) -> HealthCheck {
    let base = HealthCheck {
        timeout: DurationText::millis(600),
        ..HealthCheck::default()
    };
    if region
        .replicas
        .iter()
        .all(|replica| replica.admin.is_some())
    {
        let http = HttpCheck {
            path: "/readyz".to_owned(),
            ..HttpCheck::default()
        };
        HealthCheck {
            http: Some(http),
            ..base
        }
    } else {
        HealthCheck {
            tcp: Some(TcpCheck {}),
            ..base
        }
    }
}
