//! Runs a file of `conf/` with its addresses put into free ones, and scripted servers behind it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use regex::Regex;
use strata_tests::eventually;
use strata_tests::http::{self, Answer, Body, Dial};
use strata_tests::process::{Launch, Process};
use strata_tests::server::Server;
use strata_tests::tools;
use strata_tests::topology::Tier;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(15);

/// A file that runs.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) users: SocketAddr,
    pub(crate) admin: SocketAddr,
    servers: BTreeMap<u16, Server>,
    _process: Process,
    _dir: TempDir,
}

/// The directory of the files.
pub(crate) fn conf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf")
}

/// The tier that a file is for.
pub(crate) fn tier(text: &str) -> Tier {
    if text.contains("\nregions:\n") {
        Tier::Global
    } else {
        Tier::Regional
    }
}

/// Runs `file`; `prepare` gets the directory in which its copy lies, before the start.
pub(crate) async fn run(file: &str, prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Stage> {
    let text = std::fs::read_to_string(conf().join(file))?;
    let tier = tier(&text);
    let dir = tempfile::tempdir()?;
    prepare(dir.path())?;
    let mut own = own_ports(&text)?.into_iter();
    let (users, admin) = (
        own.next().context("listener")?,
        own.next().context("admin")?,
    );
    let mut addresses = BTreeMap::new();
    let mut servers = BTreeMap::new();
    for port in ports(&text)? {
        let address = free()?;
        addresses.insert(port, address);
        if port != users && port != admin {
            let server = Server::builder(format!("at-{port}")).address(address);
            servers.insert(port, server.start().await?);
        }
    }
    let copy = dir.path().join("lb.yaml");
    std::fs::write(&copy, moved(&text, &addresses)?)?;
    let launch = Launch::new(tier.program(), tools::program(tier.program())?);
    let mut process = launch.args(["run", "--config"]).arg(&copy).start()?;
    let at = |port: u16| addresses.get(&port).copied().context("not moved");
    let (users, admin) = (at(users)?, at(admin)?);
    process.wait_http(admin, "/readyz", 200, SOON).await?;
    Ok(Stage {
        users,
        admin,
        servers,
        _process: process,
        _dir: dir,
    })
}

// === impl Stage ===

impl Stage {
    /// The server that stands for a port of the file.
    pub(crate) fn server(&self, port: u16) -> Result<&Server> {
        self.servers.get(&port).context("no server for this port")
    }

    /// Waits until no request is counted as in flight.
    pub(crate) async fn is_idle(&self) -> Result<()> {
        is_idle(self.admin).await
    }

    /// `GET path` with a host and header fields.
    pub(crate) async fn get(
        &self,
        host: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Answer> {
        self.ask(::http::Request::get(path), host, fields).await
    }

    /// Any request without a body.
    pub(crate) async fn ask(
        &self,
        request: ::http::request::Builder,
        host: &str,
        fields: &[(&str, &str)],
    ) -> Result<Answer> {
        let request = request.header("host", host);
        let request = fields
            .iter()
            .fold(request, |r, (name, value)| r.header(*name, *value));
        let request: ::http::Request<Body> = request.body(http::empty())?;
        Dial::http1(self.users).send(request).await
    }

    /// The port of the file whose server answered.
    pub(crate) async fn port_for(
        &self,
        host: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<u16> {
        let answer = self.get(host, path, fields).await?;
        ensure!(answer.status == 200, "{path} at {host}: {answer:?}");
        served_by(&answer)
    }
}

/// Waits until the process with this admin address counts no request as in flight.
pub(crate) async fn is_idle(admin: SocketAddr) -> Result<()> {
    eventually(SOON, "no request in flight", async || {
        let status = http::get(admin, "/api/v1/status").await?.json()?;
        let pools = status["pools"].as_array().cloned().unwrap_or_default();
        ensure!(pools.iter().all(|pool| pool["inflight"] == 0), "{status}");
        Ok(())
    })
    .await
}

/// The port of the file whose server gave this answer.
pub(crate) fn served_by(answer: &Answer) -> Result<u16> {
    let name = answer.header("x-served-by");
    let port = name
        .strip_prefix("at-")
        .with_context(|| format!("served by {name:?}"))?;
    Ok(port.parse()?)
}

/// Ports of addresses on lines of their own: first the listener's, then the admin's.
pub(crate) fn own_ports(text: &str) -> Result<Vec<u16>> {
    let own = Regex::new(r"(?m)^ +address: 127\.0\.0\.1:(\d+)$")?;
    let found = own
        .captures_iter(text)
        .filter_map(|c| c.get(1)?.as_str().parse().ok());
    Ok(found.collect())
}

/// The other forms are Envoy's and those of HAProxy's checks.
fn address_pattern() -> Result<Regex> {
    Ok(Regex::new(
        r"((?:127\.0\.0\.1|localhost)(?::|, port_value: | port ))(\d+)",
    )?)
}

pub(crate) fn ports(text: &str) -> Result<Vec<u16>> {
    let pattern = address_pattern()?;
    let found = pattern
        .captures_iter(text)
        .filter_map(|c| c.get(2)?.as_str().parse().ok());
    let mut ports: Vec<u16> = found.collect();
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

/// `localhost` stays a name, with the new port: the new addresses are on 127.0.0.1 too.
pub(crate) fn moved(text: &str, addresses: &BTreeMap<u16, SocketAddr>) -> Result<String> {
    let replaced = address_pattern()?.replace_all(text, |c: &regex::Captures<'_>| {
        let old: u16 = c
            .get(2)
            .and_then(|port| port.as_str().parse().ok())
            .unwrap_or(0);
        let new = addresses.get(&old).map_or(0, SocketAddr::port);
        format!("{}{new}", c.get(1).map_or("", |host| host.as_str()))
    });
    Ok(replaced.into_owned())
}

/// A free address of 127.0.0.1, below the range that outgoing connections take their ports from.
pub(crate) fn free() -> Result<SocketAddr> {
    for _ in 0..100 {
        let port = strata_tests::ports::free()?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if std::net::TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    anyhow::bail!("no free port")
}
