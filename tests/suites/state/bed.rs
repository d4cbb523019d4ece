//! Global replicas that share orders, each reached by the others through a relay.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use http::Request;
use serde_json::{Value, json};
use strata_tests::http::{Answer, Dial, full};
use strata_tests::topology::{Platform, Replica, Topology};
use strata_tests::{eventually, ports};
use tempfile::TempDir;

use strata_tests::relay::Relay;

pub(crate) const SOON: Duration = Duration::from_secs(15);
/// A little more than the time for which replicas remember what has ended.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600 + 60);
pub(crate) const TOKEN: &str = "a-token-of-the-tests-0123456789";

/// Three replicas `g1` to `g3`; `relays[from][to]` is how one reaches the other.
pub(crate) struct Bed {
    pub(crate) platform: Platform,
    pub(crate) relays: Vec<Vec<Relay>>,
    pub(crate) dir: TempDir,
}

/// What a test wants to be different.
pub(crate) struct Plan {
    pub(crate) replicas: usize,
    /// The inner text of `state: { … }` for a replica; `@` is its own directory.
    pub(crate) state: String,
    /// The last replica has another token.
    pub(crate) strange: bool,
    /// The replicas know each other.
    pub(crate) peers: bool,
}

// === impl Plan ===

impl Default for Plan {
    fn default() -> Self {
        Self {
            replicas: 3,
            state: "directory: \"@\"".to_owned(),
            strange: false,
            peers: true,
        }
    }
}

impl Plan {
    pub(crate) async fn start(self) -> Result<Bed> {
        let dir = tempfile::Builder::new().prefix("strata-state-").tempdir()?;
        let admins = ports::several(self.replicas)?;
        let relays = admins.iter().map(|_| {
            let row = admins.iter().map(|admin| Relay::start(*admin));
            row.collect::<Result<Vec<_>>>()
        });
        let relays = relays.collect::<Result<Vec<_>>>()?;
        let lists = relays
            .iter()
            .map(|row| row.iter().map(Relay::address).collect());
        let lists: Vec<Vec<SocketAddr>> = lists.collect();
        token(&dir.path().join("token"), TOKEN)?;
        token(&dir.path().join("strange"), "another-token-9876543210")?;
        let base = dir.path().to_owned();
        let count = self.replicas;
        let plan = Topology::two_tier().globals(count).regions(2, 1, 1);
        let plan = plan.tune_global(move |file| {
            let at: usize = file.name.trim_start_matches('g').parse().unwrap_or(1);
            file.admin = admins[at - 1];
            let is_strange = self.strange && at == count;
            let name = if is_strange { "strange" } else { "token" };
            file.front.admin = format!("token_file: \"{}\"", base.join(name).display());
            let own = base.join(&file.name).display().to_string();
            let state = self.state.replace('@', &own);
            let peers = if self.peers {
                texts(&lists[at - 1])
            } else {
                Vec::new()
            };
            file.extra = format!("peers: {peers:?}\nstate: {{ {state} }}\n");
        });
        let platform = plan.start().await?;
        Ok(Bed {
            platform,
            relays,
            dir,
        })
    }
}

// === impl Bed ===

impl Bed {
    pub(crate) async fn start() -> Result<Self> {
        Plan::default().start().await
    }

    pub(crate) fn replica(&mut self, at: usize) -> &mut Replica {
        &mut self.platform.globals[at]
    }

    /// The file of a replica.
    pub(crate) fn file(&self, at: usize) -> PathBuf {
        let name = self.platform.globals[at].name();
        self.dir.path().join(name).join("orders.json")
    }

    /// Orders at a replica; the answer must have this status.
    pub(crate) async fn order(&self, at: usize, order: &Value, status: u16) -> Result<Value> {
        let answer = post(
            self.platform.globals[at].admin(),
            "/api/v1/orders",
            TOKEN,
            order,
        )
        .await?;
        ensure!(
            answer.status == status,
            "{} {}",
            answer.status,
            answer.text()
        );
        answer.json()
    }

    /// What a replica knows of `region`: the action, or nothing.
    pub(crate) async fn knows(&self, at: usize, region: &str) -> Result<Option<String>> {
        let request =
            Request::get("/api/v1/state").header("authorization", format!("Bearer {TOKEN}"));
        let admin = self.platform.globals[at].admin();
        let answer = Dial::http1(admin).send(request.body(full(""))?).await?;
        ensure!(answer.status == 200, "{}", answer.text());
        let sheet = answer.json()?;
        let records = sheet["snapshot"]["records"]
            .as_array()
            .context("no records")?;
        let found = records
            .iter()
            .find(|record| record["scope"]["region"] == region);
        Ok(found.map(|record| record["action"].as_str().unwrap_or_default().to_owned()))
    }

    /// Waits until a replica knows it.
    pub(crate) async fn learns(&self, at: usize, region: &str, action: &str) -> Result<()> {
        eventually(SOON, "an order", async || {
            let known = self.knows(at, region).await?;
            ensure!(known.as_deref() == Some(action), "{known:?}");
            Ok(())
        })
        .await
    }

    /// The part of the status about orders.
    pub(crate) async fn status(&self, at: usize) -> Result<Value> {
        Ok(self.platform.globals[at].status().await?["state"].clone())
    }

    /// Waits until a replica has heard of all its peers.
    pub(crate) async fn acquainted(&self) -> Result<()> {
        let count = self.platform.globals.len();
        eventually(SOON, "peers that agree", async || {
            for at in 0..count {
                let status = self.status(at).await?;
                let peers = status["peers"].as_array().context("no peers")?;
                ensure!(peers.len() == count - 1, "{status}");
                ensure!(status["applied"] == count - 1, "{status}");
            }
            Ok(())
        })
        .await
    }

    /// Between one replica and all others, both ways.
    pub(crate) fn each_way(&self, at: usize) -> impl Iterator<Item = &Relay> {
        let pairs = self.relays.iter().enumerate();
        pairs.flat_map(move |(from, row)| {
            let row = row.iter().enumerate();
            row.filter(move |(to, _)| from != *to && (from == at || *to == at))
                .map(|(_, relay)| relay)
        })
    }
}

/// An order on a region.
pub(crate) fn draft(region: &str, action: &str) -> Value {
    json!({ "scope": { "region": region }, "action": action, "reason": "a test", "actor": "ada" })
}

/// What a store keeps of an order on `region` that was undone `ago` ago, as its seventh version.
pub(crate) fn tombstone(region: &str, ago: Duration) -> Result<String> {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH)? - ago;
    let stamp =
        json!({ "wall_ms": u64::try_from(millis.as_millis())?, "counter": 0, "replica": "g9" });
    let mut record = draft(region, "undrain");
    record["keep_percent"] = json!(100);
    record["ramp_s"] = json!(0);
    record["version"] = json!(7);
    (record["created"], record["updated"]) = (stamp.clone(), stamp);
    Ok(json!({ "format": 1, "records": [record] }).to_string())
}

pub(crate) async fn post(
    admin: SocketAddr,
    path: &str,
    token: &str,
    body: &Value,
) -> Result<Answer> {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {token}"))
        .header("x-lb-request", "1");
    Dial::http1(admin)
        .send(request.body(full(body.to_string()))?)
        .await
}

fn token(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(
        path,
        PermissionsExt::from_mode(0o600),
    )?)
}

fn texts(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}
