//! One regional replica with three servers whose file the tests change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use strata_tests::eventually;
use strata_tests::http;
use strata_tests::process::{Launch, Process};
use strata_tests::server::Server;
use strata_tests::tools;
use tempfile::TempDir;
use tokio::time::Instant;

/// Long enough for anything that is to happen at all.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Within this time a changed file is live.
pub(crate) const LIVE: Duration = Duration::from_secs(1);

/// What the tests change in the file.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Servers by position, with their weights.
    pub(crate) servers: Vec<(usize, u32)>,
    /// More lines of the pool.
    pub(crate) pool: String,
    /// More lines of the route.
    pub(crate) route: String,
    /// More top-level lines.
    pub(crate) extra: String,
}

/// A running replica and its servers.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) servers: Vec<Server>,
    pub(crate) process: Process,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) admin: std::net::SocketAddr,
    pub(crate) file: PathBuf,
    pub(crate) dir: TempDir,
}

// === impl Plan ===

impl Plan {
    /// All of `count` servers with weight 1, checked twice a second.
    pub(crate) fn of(count: usize) -> Self {
        Self {
            servers: (0..count).map(|index| (index, 1)).collect(),
            pool: "health_check: { http: { path: /healthz }, interval: 500ms, timeout: 250ms }"
                .to_owned(),
            route: String::new(),
            extra: String::new(),
        }
    }

    /// Puts the servers at these positions in.
    pub(crate) fn with(mut self, servers: &[(usize, u32)]) -> Self {
        self.servers = servers.to_vec();
        self
    }
}

// === impl Bed ===

impl Bed {
    /// Starts `count` servers and a replica with all of them.
    pub(crate) async fn start(count: usize) -> Result<Self> {
        Self::start_with(count, &Plan::of(count), "lb.yaml").await
    }

    /// The same with a plan and a place of the file below the bed's directory, made before the start.
    pub(crate) async fn start_with(count: usize, plan: &Plan, file: &str) -> Result<Self> {
        let mut servers = Vec::new();
        for number in 1..=count {
            servers.push(Server::start(format!("s{number}")).await?);
        }
        let dir = tempfile::tempdir()?;
        let (address, admin) = (strata_tests::ports::free()?, strata_tests::ports::free()?);
        let path = dir.path().join(file);
        let text = render(&servers, address, admin, plan);
        if file.starts_with("config/") {
            publish(&path, "1", &text)?;
        } else {
            std::fs::write(&path, text)?;
        }
        let launch = Launch::new("r1", tools::program("regional-lb")?);
        let process = launch.args(["run", "--config"]).arg(&path).start()?;
        let mut bed = Self {
            servers,
            process,
            address,
            admin,
            file: path,
            dir,
        };
        bed.process.wait_http(admin, "/readyz", 200, SOON).await?;
        Ok(bed)
    }

    /// The file's text for a plan.
    pub(crate) fn text(&self, plan: &Plan) -> String {
        render(&self.servers, self.address, self.admin, plan)
    }

    /// Writes the file in place.
    pub(crate) fn write(&self, text: impl AsRef<[u8]>) -> Result<()> {
        Ok(std::fs::write(&self.file, text)?)
    }

    /// Replaces the file by a rename.
    pub(crate) fn replace(&self, text: &str) -> Result<()> {
        let new = self.file.with_extension("new");
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(&new, &self.file)?)
    }

    /// `/api/v1/status`.
    pub(crate) async fn status(&self) -> Result<Value> {
        http::get(self.admin, "/api/v1/status").await?.json()
    }

    /// The generation that serves.
    pub(crate) async fn generation(&self) -> Result<u64> {
        let status = self.status().await?;
        status["config"]["generation"]
            .as_u64()
            .context("no generation")
    }

    /// Writes a plan and waits until it serves; tells how long that took.
    pub(crate) async fn reload(&self, plan: &Plan) -> Result<Duration> {
        let before = self.generation().await?;
        let start = Instant::now();
        self.replace(&self.text(plan))?;
        self.generation_after(before).await?;
        Ok(start.elapsed())
    }

    /// Waits until a generation after `before` serves.
    pub(crate) async fn generation_after(&self, before: u64) -> Result<()> {
        eventually(SOON, "the next generation", async || {
            let now = self.generation().await?;
            ensure!(now > before, "generation {now}");
            Ok(())
        })
        .await
    }

    /// The endpoint of a server in the status.
    pub(crate) async fn endpoint(&self, server: &str) -> Result<Value> {
        let status = self.status().await?;
        let endpoints = status["pools"][0]["endpoints"].as_array().cloned();
        let endpoints = endpoints.unwrap_or_default();
        let found = endpoints
            .into_iter()
            .find(|known| known["server"] == server);
        found.with_context(|| format!("no {server} in {status}"))
    }

    /// Waits until a server is in a state.
    pub(crate) async fn becomes(&self, server: &str, state: &str) -> Result<()> {
        eventually(SOON, &format!("{server} {state}"), async || {
            let endpoint = self.endpoint(server).await?;
            ensure!(endpoint["state"] == state, "{endpoint}");
            Ok(())
        })
        .await
    }

    /// The value of a metric that has one sample.
    pub(crate) async fn metric(&self, name: &str) -> Result<String> {
        let text = http::get(self.admin, "/metrics").await?.text();
        let mut samples = text.lines().filter(|line| line.starts_with(name));
        let value = samples.next().and_then(|line| line.rsplit(' ').next());
        Ok(value.with_context(|| format!("no {name}"))?.to_owned())
    }
}

/// Publishes `text` as Kubernetes does a ConfigMap: a new directory, and one rename of the link `..data`.
pub(crate) fn publish(file: &Path, version: &str, text: &str) -> Result<()> {
    let mount = file.parent().context("no parent")?;
    let name = file.file_name().context("no name")?;
    let version = format!("..version_{version}");
    let dir = mount.join(&version);
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join(name), text)?;
    let (link, fresh) = (mount.join("..data"), mount.join("..data_tmp"));
    std::os::unix::fs::symlink(&version, &fresh)?;
    std::fs::rename(&fresh, &link)?;
    if !file.is_symlink() {
        std::os::unix::fs::symlink(Path::new("..data").join(name), file)?;
    }
    Ok(())
}

fn render(
    servers: &[Server],
    address: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    plan: &Plan,
) -> String {
    let listed = plan.servers.iter().filter_map(|(index, weight)| {
        let server = servers.get(*index)?;
        let (name, address) = (server.name(), server.address());
        Some(format!(
            "      - {{ name: {name}, address: \"{address}\", weight: {weight} }}\n"
        ))
    });
    let indent = |text: &str| {
        text.lines()
            .map(|line| format!("    {line}\n"))
            .collect::<String>()
    };
    format!(
        "name: r1\nregion: here\nlisteners:\n  - {{ name: web, address: \"{address}\" }}\nadmin: {{ address: \"{admin}\" }}\n\
         {}routes:\n  - name: all\n    pool: web\n{}pools:\n  - name: web\n{}    servers:\n{}",
        plan.extra,
        indent(&plan.route),
        indent(&plan.pool),
        listed.collect::<String>(),
    )
}
