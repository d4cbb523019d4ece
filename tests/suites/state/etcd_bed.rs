//! An etcd of Debian's, behind a relay.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use strata_tests::http::{Dial, full};
use strata_tests::ports;
use strata_tests::process::Process;
use strata_tests::tools::Tool;
use tempfile::TempDir;

use crate::bed::Plan;
use strata_tests::relay::Relay;

const START: Duration = Duration::from_secs(30);

/// A member that is alone, and can be stopped and started again with its data.
pub(crate) struct Etcd {
    pub(crate) address: SocketAddr,
    pub(crate) relay: Relay,
    peer: SocketAddr,
    dir: TempDir,
    process: Option<Process>,
    pub(crate) extra: Vec<String>,
    scheme: &'static str,
}

// === impl Etcd ===

impl Etcd {
    pub(crate) async fn start() -> Result<Self> {
        let mut made = Self::new("http", Vec::new())?;
        made.launch().await?;
        Ok(made)
    }

    pub(crate) fn new(scheme: &'static str, extra: Vec<String>) -> Result<Self> {
        let (address, peer) = (ports::free()?, ports::free()?);
        Ok(Self {
            address,
            relay: Relay::start(address)?,
            peer,
            dir: tempfile::Builder::new().prefix("strata-etcd-").tempdir()?,
            process: None,
            extra,
            scheme,
        })
    }

    pub(crate) async fn launch(&mut self) -> Result<()> {
        let client = format!("{}://{}", self.scheme, self.address);
        let peer = format!("http://{}", self.peer);
        let launch = Tool::Etcd.launch()?.arg("--data-dir").arg(self.data());
        let launch = launch
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster".to_owned(), format!("default={peer}")])
            .args(["--log-level", "error"])
            .args(self.extra.clone());
        let process = launch.start()?;
        let process = self.process.insert(process);
        process.wait_tcp(self.address, START).await?;
        if self.scheme == "http" {
            process
                .wait_http(self.address, "/health", 200, START)
                .await?;
        }
        Ok(())
    }

    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// A call of its JSON gateway.
    pub(crate) async fn call(&self, path: &str, body: &Value) -> Result<Value> {
        let request = http::Request::post(path).body(full(body.to_string()))?;
        let answer = Dial::http1(self.address).send(request).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Writes a global replica's key for `region` by hand.
    pub(crate) async fn put(&self, region: &str, value: &str) -> Result<()> {
        let body = json!({ "key": key(region), "value": base64(value) });
        self.call("/v3/kv/put", &body).await.map(drop)
    }

    /// Whether there is such a key.
    pub(crate) async fn has(&self, region: &str) -> Result<bool> {
        let range = self
            .call("/v3/kv/range", &json!({ "key": key(region) }))
            .await?;
        Ok(range["count"] == "1")
    }

    /// Forgets all revisions but the last.
    pub(crate) async fn compact(&self) -> Result<()> {
        let revision = self.call("/v3/kv/range", &json!({ "key": "AA==" })).await?;
        let revision = revision["header"]["revision"].clone();
        let body = json!({ "revision": revision, "physical": true });
        self.call("/v3/kv/compaction", &body).await.map(drop)
    }

    /// Replicas that use it through the relay.
    pub(crate) fn plan(&self, replicas: usize) -> Plan {
        self.plan_with(
            replicas,
            &format!("endpoints: [\"{}\"]", self.relay.address()),
        )
    }

    pub(crate) fn plan_with(&self, replicas: usize, etcd: &str) -> Plan {
        Plan {
            replicas,
            state: format!("store: etcd, directory: \"@\", etcd: {{ {etcd} }}"),
            peers: false,
            ..Plan::default()
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

fn key(region: &str) -> Value {
    base64(&format!("/strata/global/-/region/{region}"))
}

fn base64(text: &str) -> Value {
    json!(ByteString(text.as_bytes().to_vec()))
}
