//! Replicas that keep their orders in a ConfigMap of the tests' API server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use strata_tests::eventually;
use strata_tests::kube::{ApiServer, Fault, Resource, User, Verb};
use tempfile::TempDir;

use crate::bed::{Bed, Plan};

pub(crate) const MAPS: Resource = Resource::CONFIG_MAPS;
pub(crate) const NAMESPACE: &str = "lb";
/// The name that global replicas use unless told otherwise.
pub(crate) const NAME: &str = "strata-orders-global";
/// The most that a watch that hangs takes to be noticed, with what follows; more than two of the longest pauses between attempts (30 s).
pub(crate) const LATE: Duration = Duration::from_secs(75);

/// An API server with an empty ConfigMap for orders and the role that docs/state.md gives.
pub(crate) struct Kube {
    pub(crate) server: ApiServer,
    pub(crate) dir: TempDir,
}

// === impl Kube ===

impl Kube {
    pub(crate) async fn start() -> Result<Self> {
        let kube = Self {
            server: ApiServer::start().await?,
            dir: tempfile::Builder::new().prefix("strata-kube-").tempdir()?,
        };
        kube.server
            .put(&MAPS, NAMESPACE, json!({ "metadata": { "name": NAME } }))?;
        kube.show("first")?;
        kube.server.allow(
            "first",
            role(&[Verb::Get, Verb::List, Verb::Watch, Verb::Update]),
        );
        Ok(kube)
    }

    /// The token that replicas show.
    pub(crate) fn show(&self, token: &str) -> Result<()> {
        Ok(std::fs::write(
            self.dir.path().join("token"),
            format!("{token}\n"),
        )?)
    }

    pub(crate) fn plan(&self, replicas: usize) -> Result<Plan> {
        let file = self.kubeconfig()?;
        Ok(Plan {
            replicas,
            state: format!(
                "store: kubernetes, directory: \"@\", kubernetes: {{ kubeconfig: \"{}\" }}",
                file.display()
            ),
            peers: false,
            ..Plan::default()
        })
    }

    fn kubeconfig(&self) -> Result<PathBuf> {
        let path = self.dir.path().join("config");
        self.server
            .kubeconfig(&path, NAMESPACE, "tokenFile: token", None)
    }

    /// The ConfigMap; null when it isn't there.
    pub(crate) fn map(&self) -> Value {
        let objects = self.server.objects(&MAPS, NAMESPACE);
        let found = objects
            .into_iter()
            .find(|object| object["metadata"]["name"] == NAME);
        found.unwrap_or_default()
    }

    /// Puts these entries in place of all.
    pub(crate) fn set(&self, entries: Value) -> Result<()> {
        let mut map = self.map();
        map["metadata"]["name"] = json!(NAME);
        map["data"] = entries;
        self.server.put(&MAPS, NAMESPACE, map).map(drop)
    }

    /// Waits until the ConfigMap has an entry that says so.
    pub(crate) async fn keeps(&self, key: &str, action: &str) -> Result<()> {
        eventually(LATE, "an entry", async || {
            let map = self.map();
            let text = map["data"][key].as_str().unwrap_or("{}");
            let value: Value = serde_json::from_str(text)?;
            ensure!(value["records"][0]["action"] == action, "{map}");
            Ok(())
        })
        .await
    }

    /// Waits until this many watches are open.
    pub(crate) async fn watched(&self, count: usize) -> Result<()> {
        eventually(LATE, "watches", async || {
            let open = self.server.watching();
            ensure!(open == count, "{open}");
            Ok(())
        })
        .await
    }

    /// From now on this many watches are open, and silent.
    pub(crate) async fn silence(&self, count: usize) -> Result<()> {
        self.watched(count).await?;
        let before = usize::try_from(self.server.asked(Verb::Watch))?;
        self.server.fault(Some(Verb::Watch), Fault::Silent);
        self.server.drop_watches(true);
        eventually(LATE, "silent watches", async || {
            let asked = usize::try_from(self.server.asked(Verb::Watch))?;
            ensure!(asked >= before + count && self.server.watching() == count);
            Ok(())
        })
        .await
    }
}

/// What a replica may do with the one ConfigMap.
pub(crate) fn role(verbs: &[Verb]) -> User {
    User::new("strata", NAMESPACE, &MAPS, verbs).named(NAME)
}

/// Waits until a fault of a replica says that, or, without a text, until there is none.
pub(crate) async fn complains(bed: &Bed, at: usize, text: &str) -> Result<()> {
    eventually(LATE, "a fault", async || {
        let status = bed.status(at).await?;
        let faults = status["faults"].to_string();
        let is_so = if text.is_empty() {
            faults == "[]"
        } else {
            faults.contains(text)
        };
        ensure!(is_so, "{faults}");
        Ok(())
    })
    .await
}
