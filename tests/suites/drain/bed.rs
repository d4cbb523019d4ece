//! Three global replicas that share orders, three regions, and an operator with `lbctl`.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use strata_tests::eventually;
use strata_tests::load::{Load, Mode, Running};
use strata_tests::ports;
use strata_tests::process::Launch;
use strata_tests::reconcile::reconcile;
use strata_tests::tools;
use strata_tests::topology::{Platform, Topology};
use strata_tests::turn::{Turn, alone, turn};
use tempfile::TempDir;
use tokio::time::sleep;

use strata_tests::relay::Relay;

/// For what happens soon, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(15);
/// The target: no new requests after this.
pub(crate) const TARGET: Duration = Duration::from_secs(1);
/// Requests that a load must have sent before it says anything.
const ENOUGH: u64 = 200;
const GLOBALS: usize = 3;
const OWN: &str = "directory: \"@\"";

/// The platform; `relays[from][to]` is how one global replica reaches another.
pub(crate) struct Bed {
    pub(crate) platform: Platform,
    pub(crate) relays: Vec<Vec<Relay>>,
    dir: TempDir,
    /// Held to the end.
    _turn: Turn,
}

/// What `lbctl` did.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Bed {
    /// All regions share by weight; `extra` is pasted into each regional file.
    pub(crate) async fn start(extra: &'static str) -> Result<Self> {
        Self::start_as(turn().await, extra, "weighted", OWN, true).await
    }

    /// The same with no other bed beside it, for a test that runs dozens of programs more.
    pub(crate) async fn start_alone() -> Result<Self> {
        Self::start_as(alone().await, "", "weighted", OWN, true).await
    }

    /// The same with another inner text of `state: { … }`; `@` is a replica's own directory. Without `peers`, a store is to connect them.
    pub(crate) async fn with_state(state: &str, peers: bool) -> Result<Self> {
        Self::start_as(turn().await, "", "weighted", state, peers).await
    }

    /// The same with users whom a cookie binds to their region.
    pub(crate) async fn with_cookies() -> Result<Self> {
        let policy = "weighted, affinity: { ttl: 5m, secret_file: \"@\" }";
        Self::start_as(turn().await, "", policy, OWN, true).await
    }

    async fn start_as(
        turn: Turn,
        extra: &'static str,
        policy: &'static str,
        state: &str,
        peers: bool,
    ) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("strata-drain-").tempdir()?;
        let token = dir.path().join("token");
        std::fs::write(&token, "a-token-of-the-tests-0123456789")?;
        std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600))?;
        let admins = ports::several(GLOBALS)?;
        let mut relays = Vec::new();
        for _ in &admins {
            let row = admins.iter().map(|admin| Relay::start(*admin));
            relays.push(row.collect::<Result<Vec<_>>>()?);
        }
        let lists: Vec<Vec<String>> = relays
            .iter()
            .map(|row: &Vec<Relay>| row.iter().map(|r| r.address().to_string()).collect())
            .collect();
        let (base, file) = (dir.path().to_owned(), token.clone());
        let state = state.to_owned();
        let plan = Topology::two_tier().globals(GLOBALS).regions(3, 1, 2);
        let plan = plan.tune_global(move |global| {
            let at: usize = global.name.trim_start_matches('g').parse().unwrap_or(1);
            global.admin = admins[at - 1];
            global.front.admin = format!("token_file: \"{}\"", file.display());
            let own = base.join(&global.name);
            let state = state.replace('@', &own.display().to_string());
            let known: &[String] = if peers { &lists[at - 1] } else { &[] };
            global.extra = format!("peers: {known:?}\nstate: {{ {state} }}\n");
            global.policy = policy.replace('@', &file.display().to_string());
        });
        let file = token.clone();
        let plan = plan.tune_regional(move |regional| {
            regional.front.admin = format!("token_file: \"{}\"", file.display());
            regional.extra = extra.to_owned();
        });
        let platform = plan.start().await?;
        let bed = Self {
            platform,
            relays,
            dir,
            _turn: turn,
        };
        if peers {
            bed.acquainted().await?;
        }
        Ok(bed)
    }

    /// Waits until all replicas have heard of each other.
    async fn acquainted(&self) -> Result<()> {
        eventually(SOON, "peers that agree", async || {
            for global in &self.platform.globals {
                let state = global.status().await?["state"].clone();
                ensure!(state["applied"] == GLOBALS - 1, "{state}");
            }
            Ok(())
        })
        .await
    }

    pub(crate) fn token(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    /// The `state.directory` of a global replica.
    pub(crate) fn own(&self, at: usize) -> PathBuf {
        self.dir.path().join(self.platform.globals[at].name())
    }

    pub(crate) fn admin(&self, at: usize) -> SocketAddr {
        self.platform.globals[at].admin()
    }

    /// Runs `lbctl` as an operator does, against global replica `at`.
    pub(crate) async fn lbctl(&self, at: usize, line: &str) -> Result<Told> {
        self.lbctl_at(self.admin(at), line).await
    }

    /// The same against any replica.
    pub(crate) async fn lbctl_at(&self, admin: SocketAddr, line: &str) -> Result<Told> {
        let token = self.token().display().to_string();
        let admin = admin.to_string();
        let front = ["--admin", &admin, "--token-file", &token];
        let words = line.split(' ').map(str::to_owned);
        let args = front.into_iter().map(str::to_owned).chain(words);
        let launch = Launch::new("lbctl", tools::program("lbctl")?).args(args);
        let (status, text) = launch
            .env("USER", "ada")
            .run(Duration::from_secs(90))
            .await?;
        Ok(Told {
            code: status.code().unwrap_or(-1),
            text,
        })
    }

    /// An order that must be taken.
    pub(crate) async fn order(&self, at: usize, line: &str) -> Result<Told> {
        let told = self.lbctl(at, line).await?;
        ensure!(told.code == 0, "lbctl {line}: {}: {}", told.code, told.text);
        Ok(told)
    }

    /// Requests that a region's replicas have had.
    pub(crate) async fn requests(&self, region: usize) -> Result<u64> {
        let mut sum = 0;
        for replica in &self.platform.regions[region].replicas {
            let total = replica.status().await?["requests_total"].clone();
            sum += total.as_u64().context("no total")?;
        }
        Ok(sum)
    }

    /// A replica's view of an order: its stage and share.
    pub(crate) async fn stage(&self, at: usize, scope: &str) -> Result<(String, f64)> {
        let answer = self.platform.globals[at]
            .admin_get("/api/v1/drains")
            .await?;
        let all = answer.json()?;
        let all = all.as_array().context("no list")?;
        let found = all.iter().find(|order| order["scope"] == scope);
        let text = |order: &Value| order["stage"].as_str().unwrap_or_default().to_owned();
        Ok(found.map_or(("active".to_owned(), 1.0), |order| {
            (text(order), order["share"].as_f64().unwrap_or(-1.0))
        }))
    }

    /// Waits until a replica says so.
    pub(crate) async fn reaches(&self, at: usize, scope: &str, stage: &str) -> Result<()> {
        eventually(SOON, "a stage", async || {
            let seen = self.stage(at, scope).await?;
            ensure!(
                seen.0 == stage,
                "replica {at}: {scope} is {seen:?}, not {stage}"
            );
            Ok(())
        })
        .await
    }

    /// Waits until each region has had some requests since now.
    pub(crate) async fn served_everywhere(&self) -> Result<()> {
        let mut before = Vec::new();
        for region in 0..3 {
            before.push(self.requests(region).await?);
        }
        eventually(SOON, "requests in each region", async || {
            for (region, before) in before.iter().enumerate() {
                let now = self.requests(region).await?;
                ensure!(now > before + 20, "region {region}: {before} to {now}");
            }
            Ok(())
        })
        .await
    }

    /// Users of these global replicas: kept connections, a new one for each request, and HTTP/2.
    pub(crate) fn users_of(&self, which: &[usize]) -> Result<Vec<Running>> {
        let addresses = which.iter().map(|at| self.platform.globals[*at].address());
        let addresses: Vec<SocketAddr> = addresses.collect();
        let modes = [Mode::KeepAlive, Mode::NewConnection, Mode::H2c(2)];
        let load = |mode| {
            let load = Load::across(addresses.clone()).mode(mode).rate(15.0);
            load.posts(0.3, 500).users(200).resend_unsent().start()
        };
        modes.into_iter().map(load).collect()
    }

    /// A second from now, a region gets nothing new for two.
    pub(crate) async fn quiet(&self, region: usize) -> Result<()> {
        sleep(TARGET).await;
        let before = self.requests(region).await?;
        sleep(TARGET * 2).await;
        let after = self.requests(region).await?;
        ensure!(after == before, "{} new requests", after - before);
        Ok(())
    }

    /// Ends all loads: nothing failed, and no server saw anything of theirs twice, or in part.
    pub(crate) async fn all_unharmed(&self, loads: impl Iterator<Item = Running>) -> Result<()> {
        for users in loads {
            let report = users.stop().await;
            ensure!(report.failed == 0 && report.sent > 50, "{report}");
            let books = reconcile(&report, self.platform.ledgers());
            ensure!(books.is_clean(), "{books}");
        }
        Ok(())
    }

    /// Users at all global replicas.
    pub(crate) fn users(&self) -> Result<Running> {
        self.users_who_post(0.3)
    }

    /// Users of whose requests `share` are POSTs, 0 to 1.
    pub(crate) fn users_who_post(&self, share: f64) -> Result<Running> {
        let load = self.platform.load().rate(200.0).posts(share, 500);
        load.users(500).no_resend().start()
    }
}

/// Ends the load, once enough was sent: nothing failed.
pub(crate) async fn unharmed(users: Running) -> Result<()> {
    users.settle(ENOUGH.saturating_sub(users.sent())).await;
    let report = users.stop().await;
    ensure!(report.failed == 0 && report.sent >= ENOUGH, "{report}");
    Ok(())
}
