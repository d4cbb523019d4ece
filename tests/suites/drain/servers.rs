//! Orders on servers: two replicas of a region, two servers, and never none.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use strata_tests::load::Running;
use strata_tests::process::Launch;
use strata_tests::relay::Relay;
use strata_tests::server::Server;
use strata_tests::topology::{Platform, Topology};
use strata_tests::turn::{Turn, turn};
use strata_tests::{eventually, ports, tools};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::bed::{SOON, TARGET, Told, unharmed};

/// A region with two replicas that share orders by way of `relays`.
struct Pair {
    platform: Platform,
    relays: Vec<Relay>,
    dir: TempDir,
    /// Held to the end.
    _turn: Turn,
}

// === impl Pair ===

impl Pair {
    async fn start() -> Result<Self> {
        let turn = turn().await;
        let dir = tempfile::Builder::new().prefix("strata-pair-").tempdir()?;
        let token = dir.path().join("token");
        std::fs::write(&token, "a-token-of-the-tests-0123456789")?;
        std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600))?;
        let admins = ports::several(2)?;
        let relays = admins.iter().map(|admin| Relay::start(*admin));
        let relays = relays.collect::<Result<Vec<_>>>()?;
        let peers: Vec<SocketAddr> = relays.iter().map(Relay::address).collect();
        let base = dir.path().to_owned();
        let plan = Topology::regional().pool("web", 2).replicas(2);
        let plan = plan.tune_regional(move |file| {
            let at = usize::from(file.name.ends_with('b'));
            file.admin = admins[at];
            file.front.admin = format!("token_file: \"{}\"", token.display());
            let own = base.join(&file.name);
            file.extra += &format!(
                "peers: [\"{}\"]\nstate: {{ directory: \"{}\" }}\n",
                peers[1 - at],
                own.display()
            );
        });
        let pair = Self {
            platform: plan.start().await?,
            relays,
            dir,
            _turn: turn,
        };
        pair.agree().await?;
        Ok(pair)
    }

    async fn agree(&self) -> Result<()> {
        eventually(SOON, "peers that agree", async || {
            for replica in &self.platform.regions[0].replicas {
                let state = replica.status().await?["state"].clone();
                ensure!(state["applied"] == 1, "{state}");
            }
            Ok(())
        })
        .await
    }

    fn servers(&self) -> &[Server] {
        &self.platform.regions[0].pools[0].1
    }

    fn token(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    async fn lbctl(&self, at: usize, line: &str) -> Result<Told> {
        let admin = self.platform.regions[0].replicas[at].admin().to_string();
        let token = self.token().display().to_string();
        let words = ["--admin", &admin, "--token-file", &token];
        let words = words.into_iter().chain(line.split(' '));
        let launch = Launch::new("lbctl", tools::program("lbctl")?).args(words);
        let (status, text) = launch
            .env("USER", "ada")
            .run(Duration::from_secs(60))
            .await?;
        Ok(Told {
            code: status.code().unwrap_or(-1),
            text,
        })
    }

    async fn drain(&self, at: usize, server: usize, more: &str) -> Result<Told> {
        let name = self.servers()[server].name();
        let line = format!("server drain web/{name} --reason x{more}");
        self.lbctl(at, &line).await
    }

    /// The stage of each server's order at a replica.
    async fn stages(&self, at: usize) -> Result<Vec<String>> {
        let replica = &self.platform.regions[0].replicas[at];
        let all = replica.admin_get("/api/v1/drains").await?.json()?;
        let all = all.as_array().context("no list")?.clone();
        let stage = |server: &Server| {
            let scope = format!("server/web/{}", server.name());
            let found = all.iter().find(|order| order["scope"] == scope.as_str());
            let stage = found.and_then(|order| order["stage"].as_str());
            stage.unwrap_or("active").to_owned()
        };
        Ok(self.servers().iter().map(stage).collect())
    }

    fn users(&self) -> Result<Running> {
        self.platform.load().rate(100.0).no_resend().start()
    }

    /// What a replica says of the pool.
    async fn pool(&self, at: usize) -> Result<Value> {
        let status = self.platform.regions[0].replicas[at].status().await?;
        Ok(status["pools"][0].clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_drains_that_together_take_the_last_server_the_later_is_suspended() -> Result<()> {
    let pair = Pair::start().await?;
    let users = pair.users()?;
    users.settle(100).await;
    // At one time, at replicas that can't hear of each other: both pass the check.
    pair.relays.iter().for_each(Relay::cut);
    let (one, two) = tokio::join!(
        pair.drain(0, 0, " --wait none"),
        pair.drain(1, 1, " --wait none")
    );
    let (one, two) = (one?, two?);
    ensure!(one.code == 0 && two.code == 0, "{} {}", one.text, two.text);
    pair.relays.iter().for_each(Relay::heal);
    let seen = eventually(SOON, "one of both, the same at both", async || {
        let seen = (pair.stages(0).await?, pair.stages(1).await?);
        let mut sorted = seen.0.clone();
        sorted.sort();
        ensure!(
            seen.0 == seen.1 && sorted == ["drained", "suspended"],
            "{seen:?}"
        );
        Ok(seen.0)
    })
    .await?;
    let drained = usize::from(seen[1] == "drained");
    sleep(TARGET).await;
    let before = pair.servers()[drained].ledger().seen().len();
    sleep(TARGET * 2).await;
    let after = pair.servers()[drained].ledger().seen().len();
    ensure!(after == before, "{} new requests", after - before);
    for replica in &pair.platform.regions[0].replicas {
        let count = replica.metric("lb_orders_suspended", &[]).await?;
        ensure!(count == 1.0, "{count}");
    }
    let name = pair.servers()[1 - drained].name();
    let line = format!("server drain web/{name} --reason again --override over_capacity");
    let again = pair.lbctl(0, &line).await?;
    ensure!(
        again.code == 4 && again.text.contains("last_server"),
        "{}: {}",
        again.code,
        again.text
    );
    unharmed(users).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_server_stands_in_when_the_other_dies() -> Result<()> {
    let pair = Pair::start().await?;
    let [one, two] = pair.servers() else {
        anyhow::bail!("two servers");
    };
    let told = pair.drain(0, 0, "").await?;
    ensure!(told.code == 0, "{}", told.text);
    let users = pair.platform.load().rate(50.0).start()?;
    users.settle(50).await;
    let before = one.ledger().seen().len();
    users.settle(users.sent() + 50).await;
    ensure!(one.ledger().seen().len() == before, "the control: drained");
    two.crash().await;
    for at in 0..2 {
        eventually(SOON, "the last resort", async || {
            let pool = pair.pool(at).await?;
            ensure!(pool["last_resort"] == true, "{pool}");
            let replica = &pair.platform.regions[0].replicas[at];
            let gauge = replica.metric("lb_pool_last_resort", &["web"]).await?;
            ensure!(gauge == 1.0, "{gauge}");
            Ok(())
        })
        .await?;
    }
    drop(users);
    let users = pair.users()?;
    users.settle(250).await;
    let said = pair.lbctl(0, "pools").await?;
    ensure!(said.text.contains("last resort"), "{}", said.text);
    two.reopen().await?;
    eventually(SOON, "the end of it", async || {
        for at in 0..2 {
            let pool = pair.pool(at).await?;
            ensure!(pool["last_resort"] == false, "{pool}");
        }
        Ok(())
    })
    .await?;
    sleep(TARGET).await;
    let before = one.ledger().seen().len();
    sleep(TARGET).await;
    ensure!(one.ledger().seen().len() == before, "it is drained again");
    unharmed(users).await
}
