//! What the regional tier's configuration means: each route leads to a pool of servers.

use lb_core::config::change::{self, Deferred};
use lb_core::config::load_regional;
use lb_core::config::model::{Pool, Regional};
use lb_core::config::read::{Faults, Layers};
use lb_runtime::build::{MemberSpec, PoolSpec, Site, Targets};
use lb_runtime::plan::{Action, Tier};
use lb_runtime::tier::{Common, TierProgram};

/// The regional tier.
#[derive(Debug)]
pub(crate) struct RegionalTier;

impl TierProgram for RegionalTier {
    type Config = Regional;

    const TIER: Tier = Tier::Regional;

    fn load(layers: &Layers) -> Result<Regional, Faults> {
        load_regional(layers)
    }

    fn common(config: &Regional) -> Common<'_> {
        Common {
            name: &config.name,
            region: Some(&config.region),
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

    fn carry_over(old: &Regional, new: Regional) -> (Regional, Vec<Deferred>) {
        change::carry_over_regional(old, new)
    }

    fn targets(config: &Regional, site: &Site) -> Result<Targets, String> {
        let pools: Vec<_> = config
            .pools
            .iter()
            .map(|pool| site.pool(spec(pool, config)))
            .collect::<Result<_, _>>()?;
        let find = |name: &str| pools.iter().find(|pool| pool.spec.name == name);
        let actions = config.routes.iter().map(|route| {
            let pool = find(route.pool.as_ref()?.as_str())?;
            Some((Action::Pool(pool.clone()), pool.spec.name.clone()))
        });
        let actions = actions.collect();
        Ok(Targets {
            pools,
            actions,
            capacity_rps: config.capacity_rps,
            ..Targets::default()
        })
    }
}

fn spec(pool: &Pool, config: &Regional) -> PoolSpec {
    PoolSpec {
        name: pool.name.to_string(),
        policy: pool.balance.policy,
        hash_on: pool.balance.hash_on.clone(),
        panic_threshold: pool.panic_threshold.ratio(),
        outlier: pool.outlier.clone(),
        slow_start: pool.slow_start.clone(),
        zone: config.zone.clone(),
        zone_preference: pool.zone_preference.clone(),
        affinity: pool.affinity.clone(),
        check: pool.health_check.clone(),
        protection: pool.into(),
        protocol: pool.protocol,
        tls: pool.tls.clone(),
        idle_timeout: pool.idle_timeout.get(),
        learn_idle_timeout: pool.learn_idle_timeout,
        resolve_interval: pool.resolve_interval.get(),
        services: pool
            .discover
            .as_ref()
            .and_then(|found| found.kubernetes.clone()),
        members: pool
            .servers
            .iter()
            .map(|server| MemberSpec {
                name: server.name.clone(),
                address: server.address.clone(),
                weight: server.weight,
                zone: server.zone.clone(),
                admin: None,
            })
            .collect(),
    }
}
