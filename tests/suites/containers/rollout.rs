//! A Deployment's rolling update of each tier: surge 1, unavailable 0, endpoints that are removed late, SIGTERM, a grace period.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::load::{Load, Mode, Report};
use strata_tests::ports;
use strata_tests::reconcile::reconcile;
use strata_tests::server::Server;
use strata_tests::service::Service;
use tokio::time::sleep;

use crate::engine::Engine;
use crate::own_network::done_in_own_network;
use crate::pods::{Pod, SOON, Tier};

/// How long kube-proxy goes on sending to an endpoint after its pod was told to end.
const LAG: Duration = Duration::from_secs(4);
/// `minReadySeconds`.
const READY: Duration = Duration::from_secs(2);
const SHUTDOWN: &str = "lame_duck: 6s, drain: 5s, stream_drain: 5s";
/// The above, and 10 s.
const GRACE: Duration = Duration::from_secs(21);

/// Two regions below a global tier, all of it in containers but for the servers.
struct Site {
    engine: Engine,
    servers: Vec<Server>,
    regions: Vec<(Tier, Vec<Pod>)>,
    global: (Tier, Vec<Pod>),
    service: Service,
}

// === impl Site ===

impl Site {
    async fn start(globals: usize, shutdown: &str) -> Result<Self> {
        let engine = Engine::with_image()?;
        let mut servers = Vec::new();
        for number in 1..=4 {
            let server = Server::builder(format!("s{number}"));
            let server = server.address(SocketAddr::from(([0, 0, 0, 0], ports::free()?.port())));
            servers.push(server.start().await?);
        }
        let mut regions = Vec::new();
        for (name, servers) in ["eu", "us"].into_iter().zip(servers.chunks(2)) {
            let tier = Tier::regional(&engine, name, shutdown, servers)?;
            let mut pods = Vec::new();
            for number in 0..2 {
                pods.push(tier.start(&engine, number).await?);
            }
            regions.push((tier, pods));
        }
        let tier = Tier::global(&engine, shutdown, &["eu", "us"])?;
        let mut pods = Vec::new();
        for number in 0..globals {
            pods.push(tier.start(&engine, number).await?);
        }
        let addresses: Vec<_> = pods.iter().map(|pod| pod.address).collect();
        let service = Service::start(&addresses).await?;
        Ok(Self {
            engine,
            servers,
            regions,
            global: (tier, pods),
            service,
        })
    }

    fn load(&self, mode: Mode) -> Load {
        let load = Load::at(self.service.address()).mode(mode).rate(20.0);
        let load = load.posts(0.3, 500).deadline(SOON);
        match mode {
            Mode::H2c(_) => load.resend_unsent(),
            Mode::KeepAlive | Mode::NewConnection => load.no_resend(),
        }
    }

    /// Load of three kinds while `change` goes on; what came of it.
    async fn under_load(
        &mut self,
        change: impl AsyncFnOnce(&mut Self) -> Result<()>,
    ) -> Result<Vec<Report>> {
        let kinds = [Mode::KeepAlive, Mode::NewConnection, Mode::H2c(4)];
        let running = kinds.map(|mode| self.load(mode).start());
        change(self).await?;
        let mut reports = Vec::new();
        for load in running {
            reports.push(load?.stop().await);
        }
        Ok(reports)
    }

    /// What the pods that are left say of answers that were none.
    fn refusals(&self) -> String {
        let pods = self
            .regions
            .iter()
            .map(|(_, pods)| pods)
            .chain([&self.global.1]);
        let logs = pods
            .flatten()
            .map(|pod| self.engine.log(&pod.name).unwrap_or_default());
        let lines = logs.flat_map(|log| {
            let lines = log.lines().filter(|line| line.contains("\"status\":5"));
            lines.map(str::to_owned).take(5).collect::<Vec<_>>()
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn nothing_failed(&self, reports: &[Report]) -> Result<()> {
        let ledgers = || self.servers.iter().map(Server::ledger);
        for report in reports {
            let seen = reconcile(report, ledgers());
            ensure!(
                report.ok > 100 && failed(report) == 0 && seen.is_clean(),
                "{report}\n{seen}\n{}",
                self.refusals()
            );
        }
        Ok(())
    }
}

fn failed(report: &Report) -> usize {
    let outcomes = report.outcomes.iter();
    outcomes.filter(|outcome| outcome.result.is_err()).count()
}

/// Replaces each pod by a new one, as a Deployment does. The endpoints of a Service in front are added when they are ready, and removed late.
async fn roll(
    engine: &Engine,
    tier: &Tier,
    pods: &mut Vec<Pod>,
    service: Option<&Service>,
) -> Result<()> {
    for turn in 0..pods.len() {
        let new = tier.start(engine, 10 + turn).await?;
        sleep(READY).await;
        if let Some(service) = service {
            service.add(new.address);
        }
        let old = pods.remove(0);
        pods.push(new);
        let name = old.name.clone();
        old.terminate(engine)?;
        let left = old.address;
        let removal = async {
            sleep(LAG).await;
            if let Some(service) = service {
                service.remove(left);
            }
        };
        let (end, ()) = tokio::join!(old.gone(engine, GRACE), removal);
        let end = end.with_context(|| format!("{name} outlived its grace period"))?;
        ensure!(end.code == 0, "{name} ended with {}: {}", end.code, end.log);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_of_each_tier_drops_no_request() -> Result<()> {
    if done_in_own_network("rollout::a_rolling_update_of_each_tier_drops_no_request")? {
        return Ok(());
    }
    let mut site = Site::start(2, SHUTDOWN).await?;
    let reports = site
        .under_load(async |site| {
            let (tier, pods) = &mut site.regions[0];
            roll(&site.engine, tier, pods, None).await?;
            let (tier, pods) = &mut site.global;
            roll(&site.engine, tier, pods, Some(&site.service)).await
        })
        .await?;
    site.nothing_failed(&reports)?;
    for report in &reports {
        eprintln!("{report}");
    }
    Ok(())
}

/// The control: without a lame duck, what the Service sends late is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_lame_duck_a_rolling_update_fails_requests() -> Result<()> {
    if done_in_own_network("rollout::without_a_lame_duck_a_rolling_update_fails_requests")? {
        return Ok(());
    }
    let mut site = Site::start(1, "lame_duck: 0s, drain: 5s, stream_drain: 5s").await?;
    let reports = site
        .under_load(async |site| {
            let (tier, pods) = &mut site.global;
            roll(&site.engine, tier, pods, Some(&site.service)).await
        })
        .await?;
    let failed: usize = reports.iter().map(failed).sum();
    ensure!(failed > 20, "the control: {failed} failed");
    Ok(())
}
