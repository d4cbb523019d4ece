//! A regional replica whose pool follows EndpointSlices of an API server of our own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strata_tests::kube::{ApiServer, Resource};
use strata_tests::process::{Launch, Process};
use strata_tests::server::{SERVED_BY, Server};
use strata_tests::{eventually, http, tools};
use tempfile::TempDir;

/// Long enough for anything that is to happen at all.
pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const NAMESPACE: &str = "shop";
pub(crate) const SLICES: Resource = Resource::ENDPOINT_SLICES;

/// A running replica, its API server, and servers of which it learns from there.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) api: ApiServer,
    pub(crate) servers: Vec<Server>,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) dir: TempDir,
}

/// What the file says of the pool.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Inside of `kubernetes`.
    pub(crate) discover: String,
    /// Lines of the pool, each with its indentation.
    pub(crate) pool: String,
    /// Top-level lines.
    pub(crate) extra: String,
    /// Whether to wait until it is ready.
    pub(crate) wait: bool,
}

/// What a slice says of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Is {
    Ready,
    /// Terminates and serves.
    Leaving,
    /// Its readiness probe fails.
    Unready,
}

// === impl Setup ===

impl Default for Setup {
    fn default() -> Self {
        Self {
            discover: "services: [{ name: web }]".to_owned(),
            pool: "    health_check: { enabled: false }\n".to_owned(),
            extra: String::new(),
            wait: true,
        }
    }
}

// === impl Is ===

impl Is {
    pub(crate) fn conditions(self) -> Value {
        match self {
            Self::Ready => json!({ "ready": true, "serving": true, "terminating": false }),
            Self::Leaving => json!({ "ready": false, "serving": true, "terminating": true }),
            Self::Unready => json!({ "ready": false, "serving": false, "terminating": false }),
        }
    }
}

// === impl Bed ===

impl Bed {
    /// `count` servers named s1 and so on, all ready and each in a slice of its own.
    pub(crate) async fn start(count: usize) -> Result<Self> {
        Self::start_with(count, Setup::default(), async |_| Ok(())).await
    }

    /// The same; `before` does something to the API server before the replica starts.
    pub(crate) async fn start_with(
        count: usize,
        setup: Setup,
        before: impl AsyncFnOnce(&ApiServer) -> Result<()>,
    ) -> Result<Self> {
        let api = ApiServer::start().await?;
        let mut servers = Vec::new();
        for number in 1..=count {
            let server = Server::start(format!("s{number}")).await?;
            put(&api, number, server.address(), Is::Ready)?;
            servers.push(server);
        }
        before(&api).await?;
        let dir = tempfile::tempdir()?;
        api.kubeconfig(&dir.path().join("kubeconfig"), NAMESPACE, "token: x", None)?;
        let (address, admin) = (strata_tests::ports::free()?, strata_tests::ports::free()?);
        write_token(&dir.path().join("token"))?;
        let process = launch("r1", dir.path(), &setup.text("r1", address, admin))?;
        let mut bed = Self {
            api,
            servers,
            process,
            address,
            admin,
            dir,
        };
        if setup.wait {
            bed.process.wait_http(admin, "/readyz", 200, SOON).await?;
        } else {
            bed.process.wait_http(admin, "/livez", 200, SOON).await?;
        }
        Ok(bed)
    }

    /// Says something else of a server, by its number.
    pub(crate) fn say(&self, number: usize, is: Is) -> Result<()> {
        let server = self.servers.get(number - 1).context("no such server")?;
        put(&self.api, number, server.address(), is)
    }

    /// Takes a server's slice away.
    pub(crate) fn forget(&self, number: usize) {
        self.api
            .remove(&SLICES, NAMESPACE, &format!("web-{number}"));
    }

    /// Names of servers that answer 30 requests, all of which succeed.
    pub(crate) async fn answering(&self) -> Result<BTreeSet<String>> {
        let mut seen = BTreeSet::new();
        for _ in 0..30 {
            let answer = http::get(self.address, "/").await?;
            ensure!(answer.status == 200, "{answer:?}");
            seen.insert(answer.header(SERVED_BY).to_owned());
        }
        Ok(seen)
    }

    /// Waits until just these servers get requests, by their numbers.
    pub(crate) async fn until(&self, numbers: &[usize]) -> Result<()> {
        let wanted: BTreeSet<String> = numbers.iter().map(|n| format!("s{n}")).collect();
        let what = format!("requests at {wanted:?} only");
        eventually(SOON, &what, async || {
            let seen = self.answering().await?;
            ensure!(seen == wanted, "{seen:?}");
            Ok(())
        })
        .await
        .map_err(|error| self.process.with_tail(error))
    }

    /// The servers of the pool as the status has them.
    pub(crate) async fn endpoints(&self) -> Result<Vec<Value>> {
        let pools = http::get(self.admin, "/api/v1/pools").await?.json()?;
        let list = pools.pointer("/0/endpoints").and_then(Value::as_array);
        Ok(list.context("no endpoints")?.clone())
    }

    /// Waits until the pool has just these servers, whatever their state.
    pub(crate) async fn until_servers(&self, wanted: &[&str]) -> Result<()> {
        let what = format!("just {wanted:?}");
        eventually(SOON, &what, async || {
            let endpoints = self.endpoints().await?;
            let names: BTreeSet<_> = endpoints
                .iter()
                .filter_map(|e| e["server"].as_str())
                .collect();
            ensure!(names == wanted.iter().copied().collect(), "{names:?}");
            Ok(())
        })
        .await
    }

    /// Runs `lbctl` as an operator does; its exit code and what it says.
    pub(crate) async fn lbctl(&self, line: &str) -> Result<(i32, String)> {
        let (admin, token) = (self.admin.to_string(), self.dir.path().join("token"));
        let front = [
            "--admin",
            &admin,
            "--token-file",
            &token.display().to_string(),
        ]
        .map(str::to_owned);
        let words = line.split(' ').map(str::to_owned);
        let lbctl =
            Launch::new("lbctl", tools::program("lbctl")?).args(front.into_iter().chain(words));
        let (status, text) = lbctl.env("USER", "ada").run(SOON * 2).await?;
        Ok((status.code().unwrap_or(-1), text))
    }

    /// The sum of a metric's samples.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let text = http::get(self.admin, "/metrics").await?.text();
        let samples = text.lines().filter(|line| line.starts_with(name));
        let values = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// Waits until slices were heard of later than now.
    pub(crate) async fn until_fresh(&self) -> Result<()> {
        let name = "lb_discovery_last_sync_timestamp_seconds";
        let before = self.metric(name).await?;
        eventually(SOON, "fresh slices", async || {
            let now = self.metric(name).await?;
            ensure!(now > before + 0.001, "{now}");
            Ok(())
        })
        .await
    }
}

impl Setup {
    pub(crate) fn text(&self, name: &str, address: SocketAddr, admin: SocketAddr) -> String {
        let Self {
            discover,
            pool,
            extra,
            ..
        } = self;
        format!(
            "name: {name}\nregion: eu\n{extra}listeners:\n  - {{ name: web, address: '{address}' }}\nadmin: {{ address: '{admin}', token_file: token }}\n\
             routes:\n  - {{ name: all, pool: app }}\npools:\n  - name: app\n    balance: {{ policy: round_robin }}\n{pool}    discover:\n      kubernetes: \
             {{ kubeconfig: kubeconfig, {discover} }}\n"
        )
    }
}

/// Starts a regional replica of a configuration, in a directory that has what this names.
pub(crate) fn launch(name: &str, dir: &Path, text: &str) -> Result<Process> {
    let path = dir.join(format!("{name}.yaml"));
    std::fs::write(&path, text)?;
    let launch = Launch::new(name, tools::program("regional-lb")?);
    let launch = launch.env("RUST_LOG", "info");
    launch.args(["run", "--config"]).arg(&path).start()
}

fn write_token(path: &Path) -> Result<()> {
    std::fs::write(path, "a-token-of-the-tests-0123456789")?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// The slice of one server.
pub(crate) fn put(api: &ApiServer, number: usize, address: SocketAddr, is: Is) -> Result<()> {
    let endpoint = json!({
        "addresses": [address.ip().to_string()],
        "conditions": is.conditions(),
        "targetRef": { "kind": "Pod", "name": format!("pod-{number}"), "uid": format!("uid-{number}") },
    });
    let object = slice(
        &format!("web-{number}"),
        "web",
        address.port(),
        vec![endpoint],
    );
    api.put(&SLICES, NAMESPACE, object)?;
    Ok(())
}

/// A slice.
pub(crate) fn slice(name: &str, service: &str, port: u16, endpoints: Vec<Value>) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/service-name": service } },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": port, "protocol": "TCP" }],
        "endpoints": endpoints,
    })
}
