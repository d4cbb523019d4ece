//! One regional replica, its servers, and what the tests ask of both.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use strata_tests::load::{Load, Report};
use strata_tests::server::Server;
use strata_tests::topology::{Platform, Replica, Topology};

/// Long enough for anything that is to happen at all.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The mark at which the fault begins.
pub(crate) const FAULT: &str = "fault";
/// As an operator leaves it.
const CHECK: &str = "http: { path: /healthz }";

/// What differs from the defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bed {
    pub(crate) servers: usize,
    pub(crate) policy: &'static str,
    /// Lines of the route.
    pub(crate) route: String,
    /// Lines of the pool.
    pub(crate) pool: String,
    /// More pools, as `NAME: servers`.
    pub(crate) more: Vec<(&'static str, usize)>,
    /// Top-level lines.
    pub(crate) top: &'static str,
}

impl Bed {
    pub(crate) fn of(servers: usize, policy: &'static str) -> Self {
        Self {
            servers,
            policy,
            ..Self::default()
        }
    }

    pub(crate) fn pool(mut self, lines: &str) -> Self {
        self.pool = lines.to_owned();
        self
    }

    pub(crate) fn route(mut self, lines: &str) -> Self {
        self.route = lines.to_owned();
        self
    }

    pub(crate) async fn start(self) -> Result<Platform> {
        let mut plan = Topology::regional().pool("web", self.servers);
        for (name, servers) in &self.more {
            plan = plan.pool(name, *servers);
        }
        let plan = plan.tune_regional(move |file| {
            if let Some(route) = file.routes.first_mut() {
                route.extra.clone_from(&self.route);
            }
            for known in &mut file.pools {
                known.health_check = Some(CHECK.to_owned());
                known.policy = self.policy.to_owned();
            }
            if let Some(pool) = file.pools.first_mut() {
                pool.extra.clone_from(&self.pool);
            }
            file.extra = self.top.to_owned();
        });
        plan.start().await
    }
}

pub(crate) fn replica(platform: &Platform) -> Result<&Replica> {
    let mut all = platform.regions.iter().flat_map(|r| &r.replicas);
    all.next().context("no replica")
}

pub(crate) fn server(platform: &Platform, index: usize) -> Result<&Server> {
    platform.servers().nth(index).context("no such server")
}

/// An endpoint of the first pool as the status shows it.
pub(crate) async fn endpoint(platform: &Platform, index: usize) -> Result<Value> {
    let status = replica(platform)?.status().await?;
    Ok(status["pools"][0]["endpoints"][index].clone())
}

/// The states of all endpoints of the first pool.
pub(crate) async fn states(platform: &Platform) -> Result<Vec<String>> {
    let status = replica(platform)?.status().await?;
    let all = status["pools"][0]["endpoints"].as_array().cloned();
    let state = |e: &Value| e["state"].as_str().unwrap_or_default().to_owned();
    Ok(all.unwrap_or_default().iter().map(state).collect())
}

/// Tries that reached the servers, in relation to what users sent.
pub(crate) fn amplification(platform: &Platform, report: &Report) -> f64 {
    let tries: u64 = platform
        .servers()
        .map(|s| s.ledger().counts().requests)
        .sum();
    tries as f64 / report.sent.max(1) as f64
}

/// The share of good answers that came from a server.
pub(crate) fn share(report: &Report, server: &str) -> f64 {
    let by_server = report.by_server();
    let all: usize = by_server.values().sum();
    by_server.get(server).copied().unwrap_or_default() as f64 / all.max(1) as f64
}

pub(crate) fn load(platform: &Platform, rate: f64) -> Load {
    platform.load().rate(rate)
}
