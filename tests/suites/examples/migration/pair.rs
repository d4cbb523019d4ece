//! Both load balancers of an example, what they are asked, and what came of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::certs::Authority;
use strata_tests::eventually;
use strata_tests::http::{self, Dial, full};
use strata_tests::process::{Launch, Process};
use strata_tests::raw::RawConn;
use strata_tests::server::{Answer, Server};
use strata_tests::tools;
use tempfile::TempDir;

use crate::stage::{conf, free, is_idle, moved, own_ports, ports, tier};

/// Long enough for checks to find a server down on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// What the servers saw that is compared.
const SEEN: [&str; 5] = [
    "host",
    "x-tenant",
    "x-internal-user",
    "x-forwarded-for",
    "x-forwarded-proto",
];

/// Ports of the files: in plain text, and by TLS.
const THEIRS: (u16, u16) = (8080, 8443);
const OURS: (u16, u16) = (8081, 8444);

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Theirs,
    Ours,
}

pub(crate) use Side::{Ours, Theirs};

/// Both, with the servers behind them.
#[derive(Debug)]
pub(crate) struct Pair {
    addresses: BTreeMap<u16, SocketAddr>,
    servers: BTreeMap<u16, Server>,
    /// Admin addresses of our processes.
    admins: Vec<SocketAddr>,
    authorities: BTreeMap<&'static str, Authority>,
    is_envoy: bool,
    /// `trusted_proxies` of ours where the original sends to it.
    trust: Option<&'static str>,
    processes: Vec<Process>,
    dir: TempDir,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    method: &'static str,
    host: &'static str,
    path: String,
    fields: Vec<(String, String)>,
    body: usize,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) frame_options: String,
    /// Method and target at the server, and header fields of [`SEEN`].
    pub(crate) seen: Option<(String, String)>,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) pool: &'static str,
}

/// [`Outcome`], with what is not compared.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) outcome: Outcome,
    /// The port of the file whose server answered.
    pub(crate) port: u16,
    /// `Set-Cookie` up to its first `;`.
    pub(crate) cookie: String,
    /// All header fields that the server saw.
    pub(crate) all: String,
}

/// A `GET` without anything.
pub(crate) fn get(host: &'static str, path: &str) -> Ask {
    Ask {
        method: "GET",
        host,
        path: path.to_owned(),
        fields: Vec::new(),
        body: 0,
    }
}

/// A file of the original.
pub(crate) fn original(name: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("migration")
        .join(name)
        .join(file)
}

fn pool(port: u16) -> &'static str {
    match port {
        9001..=9003 => "shop",
        9004 | 9005 => "images",
        9006 => "api",
        9011..=9013 => "shop in us",
        _ => "other",
    }
}

// === impl Ask ===

impl Ask {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A `POST` with so many bytes.
    pub(crate) fn post(mut self, body: usize) -> Self {
        self.method = "POST";
        self.body = body;
        self
    }
}

// === impl Pair ===

impl Pair {
    /// Starts `file` of the original by `launch`, which gets the directory and the file, and all of ours.
    pub(crate) async fn start(
        name: &'static str,
        file: &str,
        launch: impl FnOnce(&Path, &Path) -> Result<Launch>,
    ) -> Result<Self> {
        let text = std::fs::read_to_string(original(name, file))?;
        let ours = own_files(name)?;
        let mut addresses = BTreeMap::new();
        for text in ours.iter().chain([&text]) {
            for port in ports(text)? {
                if let std::collections::btree_map::Entry::Vacant(entry) = addresses.entry(port) {
                    entry.insert(free()?);
                }
            }
        }
        let mut servers = BTreeMap::new();
        for (&port, &address) in addresses.range(9001..9100) {
            let server = Server::builder(format!("at-{port}")).address(address);
            let server = server.script(|b| b.answer = Answer::Echo).start().await?;
            servers.insert(port, server);
        }
        let dir = tempfile::tempdir()?;
        let mut pair = Self {
            authorities: secrets(dir.path())?,
            addresses,
            servers,
            admins: Vec::new(),
            is_envoy: name == "envoy",
            trust: (file == "shift.cfg").then_some("[127.0.0.0/8]"),
            processes: Vec::new(),
            dir,
        };
        for (number, text) in ours.iter().enumerate() {
            pair.start_ours(number, text).await?;
        }
        let copy = pair.dir.path().join(file);
        std::fs::write(&copy, moved(&text, &pair.addresses)?)?;
        let mut process = launch(pair.dir.path(), &copy)?.start()?;
        process.wait_tcp(pair.at(THEIRS.0)?, SOON).await?;
        pair.processes.push(process);
        pair.settle().await?;
        Ok(pair)
    }

    async fn start_ours(&mut self, number: usize, text: &str) -> Result<()> {
        let copy = self.dir.path().join(format!("ours-{number}.yaml"));
        std::fs::write(&copy, moved(text, &self.addresses)?)?;
        let program = tier(text).program();
        let mut launch = Launch::new(program, tools::program(program)?);
        if let Some(trust) = self.trust {
            launch = launch.env("LB__TRUSTED_PROXIES", trust);
        }
        let mut process = launch.args(["run", "--config"]).arg(&copy).start()?;
        let admin = *own_ports(text)?.last().context("no admin address")?;
        let admin = self.at(admin)?;
        process.wait_http(admin, "/readyz", 200, SOON).await?;
        self.admins.push(admin);
        self.processes.push(process);
        Ok(())
    }

    /// Waits until both serve from their first choice.
    async fn settle(&self) -> Result<()> {
        eventually(SOON, "both serve", async || {
            for side in [Theirs, Ours] {
                let told = self.ask(side, &get("shop.example", "/")).await?;
                let told = told.outcome;
                ensure!(told.status == 200 && told.pool == "shop", "{told:?}");
            }
            Ok(())
        })
        .await
    }

    /// Where a port of the files is.
    pub(crate) fn at(&self, port: u16) -> Result<SocketAddr> {
        self.addresses.get(&port).copied().context("no such port")
    }

    /// The server that stands for a port of the files.
    pub(crate) fn server(&self, port: u16) -> Result<&Server> {
        self.servers.get(&port).context("no server for this port")
    }

    pub(crate) async fn ask(&self, side: Side, ask: &Ask) -> Result<Told> {
        let port = if side == Theirs { THEIRS.0 } else { OURS.0 };
        self.ask_at(Dial::http1(self.at(port)?), ask).await
    }

    /// Asks by TLS, with the host as the server name, and trusts that host's authority only.
    pub(crate) async fn ask_by_tls(&self, side: Side, ask: &Ask) -> Result<Told> {
        let port = if side == Theirs { THEIRS.1 } else { OURS.1 };
        let authority = self.authorities.get(ask.host).context("no authority")?;
        let tls = authority.client(&["http/1.1"])?;
        self.ask_at(Dial::tls(self.at(port)?, ask.host, tls), ask)
            .await
    }

    pub(crate) async fn ask_at(&self, dial: Dial, ask: &Ask) -> Result<Told> {
        let request = ::http::Request::builder()
            .method(ask.method)
            .uri(&ask.path)
            .header("host", ask.host);
        let fields = ask.fields.iter();
        let request = fields.fold(request, |r, (name, value)| r.header(name, value));
        let answer = dial.send(request.body(full(vec![b'x'; ask.body]))?).await?;
        told(&answer).with_context(|| format!("{ask:?}"))
    }

    /// Asks both; they must do the same.
    pub(crate) async fn same(&self, ask: &Ask) -> Result<Outcome> {
        let mut theirs = self.ask(Theirs, ask).await?.outcome;
        let mut ours = self.ask(Ours, ask).await?.outcome;
        if self.is_envoy {
            // It writes the address of an interface in place of a client's on loopback, and ours are two tiers.
            for outcome in [&mut theirs, &mut ours] {
                outcome.fields.remove("x-forwarded-for");
            }
        }
        ensure!(
            theirs == ours,
            "{ask:?}\ntheirs {theirs:?}\nours   {ours:?}"
        );
        Ok(ours)
    }

    /// Statuses of `count` requests, one after the other.
    pub(crate) async fn statuses(&self, side: Side, ask: &Ask, count: usize) -> Result<Vec<u16>> {
        let mut statuses = Vec::new();
        for _ in 0..count {
            statuses.push(self.ask(side, ask).await?.outcome.status);
        }
        Ok(statuses)
    }

    /// How many of `count` requests the server of `port` answers.
    pub(crate) async fn share(&self, side: Side, ask: &Ask, port: u16, count: u32) -> Result<u32> {
        let mut hits = 0;
        for _ in 0..count {
            hits += u32::from(self.ask(side, ask).await?.port == port);
        }
        Ok(hits)
    }

    /// Asks twice for each: the same must stay on one server, and all of them be on `servers`.
    pub(crate) async fn sticks(&self, side: Side, asks: &[Ask], servers: usize) -> Result<()> {
        let mut seen = std::collections::BTreeSet::new();
        for ask in asks {
            let mut ports = std::collections::BTreeSet::new();
            for _ in 0..3 {
                // The bound on load counts a request for an instant after its answer is out.
                for &admin in &self.admins {
                    is_idle(admin).await?;
                }
                ports.insert(self.ask(side, ask).await?.port);
            }
            ensure!(ports.len() == 1, "{side:?} {ask:?} moved: {ports:?}");
            seen.extend(ports);
        }
        ensure!(seen.len() == servers, "{side:?} uses {seen:?}");
        Ok(())
    }

    /// Status for the user, and how many tries reached these servers, all of which answer 503.
    pub(crate) async fn tries(&self, side: Side, ask: &Ask, ports: &[u16]) -> Result<(u16, usize)> {
        for &port in ports {
            let server = self.server(port)?;
            server.script(|b| b.status = Some(503));
            server.ledger().clear();
        }
        let status = self.ask(side, ask).await?.outcome.status;
        let mut tries = 0;
        for &port in ports {
            let server = self.server(port)?;
            tries += server.ledger().seen().len();
            server.script(|b| b.status = None);
        }
        Ok((status, tries))
    }

    /// Both pass an upgrade on: the scripted server declines it, but was asked.
    pub(crate) async fn upgrades_pass(&self, host: &str, path: &str) -> Result<()> {
        for port in [THEIRS.0, OURS.0] {
            let mut conn = RawConn::connect(self.at(port)?).await?;
            let head = format!(
                "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            conn.write(head.as_bytes()).await?;
            let seen = conn.read_until(br#"["upgrade","websocket"]"#, SOON).await;
            let text = seen.text();
            // Envoy drops the body of an answer that declines; it says 403 by itself to an upgrade that it does not allow.
            let declined = self.is_envoy && port == THEIRS.0 && seen.status() == Some(200);
            let asked = declined || text.contains(r#"["upgrade","websocket"]"#);
            ensure!(asked, "{port}: {text}");
        }
        Ok(())
    }

    /// Theirs are at `path` and have each of `names`; ours are at the admin listener.
    pub(crate) async fn metrics(&self, path: &str, names: &[String], ours: &str) -> Result<()> {
        let text = http::get(self.at(8088)?, path).await?.text();
        for name in names {
            ensure!(text.contains(name.as_str()), "no {name} in {text}");
        }
        let admin = *self.admins.last().context("no admin")?;
        let text = http::get(admin, "/metrics").await?.text();
        ensure!(text.contains(ours), "{text}");
        Ok(())
    }

    /// Ends our processes, which started before theirs.
    pub(crate) fn kill_ours(&mut self) {
        self.processes.drain(..self.admins.len());
    }
}

/// Our files of an example, the global one last.
fn own_files(name: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(conf().join("migration").join(name))? {
        files.push(entry?.path());
    }
    files.sort();
    files.reverse();
    let texts = files.iter().map(std::fs::read_to_string);
    texts.map(|text| text.context("not read")).collect()
}

/// Certificates of both hosts by authorities of their own, as all three want them, and what signs cookies.
fn secrets(dir: &Path) -> Result<BTreeMap<&'static str, Authority>> {
    let tls = dir.join("tls");
    std::fs::create_dir(&tls)?;
    std::fs::create_dir(dir.join("temp"))?;
    std::fs::write(dir.join("secret"), "sixteen characters or more")?;
    let mut authorities = BTreeMap::new();
    for (name, host) in [("shop", "shop.example"), ("api", "api.example")] {
        let authority = Authority::new()?;
        let identity = authority.issue(&[host])?;
        identity.write(&tls, name)?;
        let both = format!("{}{}", identity.cert_pem, identity.key_pem);
        std::fs::write(tls.join(format!("{name}.pem")), both)?;
        authorities.insert(host, authority);
    }
    Ok(authorities)
}

fn told(answer: &http::Answer) -> Result<Told> {
    let mut fields = BTreeMap::new();
    let (mut seen, mut all, mut port) = (None, String::new(), 0);
    if let Some(name) = answer.header("x-served-by").strip_prefix("at-") {
        port = name.parse()?;
    }
    if let Ok(echo) = answer.json() {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        seen = Some((text(&echo["method"]), text(&echo["path"])));
        all = echo["headers"].to_string();
        for pair in echo["headers"].as_array().context("no headers")? {
            let (name, value) = (text(&pair[0]), text(&pair[1]));
            if SEEN.contains(&name.as_str()) {
                let so_far = fields.entry(name).or_insert_with(String::new);
                let comma = if so_far.is_empty() { "" } else { "," };
                *so_far = format!("{so_far}{comma}{value}").replace(' ', "");
            }
        }
    }
    let cookie = answer.header("set-cookie").split(';').next();
    let outcome = Outcome {
        status: answer.status,
        location: answer.header("location").to_owned(),
        frame_options: answer.header("x-frame-options").to_owned(),
        seen,
        fields,
        pool: pool(port),
    };
    Ok(Told {
        outcome,
        port,
        cookie: cookie.unwrap_or_default().to_owned(),
        all,
    })
}
