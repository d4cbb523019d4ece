//! Programs that we did not write, as servers and clients: nginx, Python, `websockets`, gRPC.
//!
//! Our scripted server shares our reading of the protocols; these have their own. They are also real processes, so
//! they can be killed and frozen. The scripts lie in `tests/peers`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Launch, Process, Signal};
use crate::tools::{Tool, peer_file, python};

const START: Duration = Duration::from_secs(20);

/// A server process with its address.
#[derive(Debug)]
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    /// The process.
    pub process: Process,
    _dir: Option<TempDir>,
}

/// nginx as a server: `/` says `name`, `/healthz` is 200, `/file` is 1 MiB of text, HTTP/1.1.
///
/// # Errors
///
/// When nginx is missing or does not start.
pub async fn nginx(name: &str) -> Result<Peer> {
    let address = crate::ports::free()?;
    let dir = tempfile::Builder::new().prefix("strata-nginx-").tempdir()?;
    std::fs::write(dir.path().join("file"), "0123456789abcde\n".repeat(65_536))?;
    let config = std::fs::read_to_string(peer_file("nginx-upstream.conf"))?
        .replace("@NAME@", name)
        .replace("@ADDRESS@", &address.to_string())
        .replace("@DIR@", &dir.path().to_string_lossy());
    let mut process = nginx_with(dir.path(), &config)?;
    process.wait_http(address, "/healthz", 200, START).await?;
    Ok(Peer {
        address,
        process,
        _dir: Some(dir),
    })
}

/// Starts nginx in `dir` with this configuration, in the foreground and as a single process.
///
/// # Errors
///
/// When nginx is missing.
pub fn nginx_with(dir: &Path, config: &str) -> Result<Process> {
    let file = dir.join("nginx.conf");
    std::fs::write(&file, config)?;
    let log = dir.join("nginx.log");
    let launch = Tool::Nginx
        .launch()?
        .args(["-e", "stderr", "-p"])
        .arg(dir)
        .args(["-c"])
        .arg(&file);
    launch.start_logging_to(&log)
}

/// Python's own `http.server`, HTTP/1.1: `/` says `name`, `/healthz` is 200, `/chunked` is chunked, POST echoes.
///
/// # Errors
///
/// When Python is missing or does not start.
pub async fn python_http(name: &str) -> Result<Peer> {
    let address = crate::ports::free()?;
    let launch = Launch::new("python-http", Tool::Python.path()?)
        .arg(peer_file("http_server.py"))
        .args([
            address.ip().to_string(),
            address.port().to_string(),
            name.to_owned(),
        ]);
    ready(launch, address).await
}

/// A websocket echo server (package `websockets`) that also answers `/healthz`.
///
/// # Errors
///
/// When Python or its packages are missing, or it does not start.
pub async fn websocket_server() -> Result<Peer> {
    let address = crate::ports::free()?;
    let launch = script("ws_server.py")
        .await?
        .args([address.ip().to_string(), address.port().to_string()]);
    ready(launch, address).await
}

/// What [`websocket_client`] does.
#[derive(Debug, Clone, Copy)]
pub struct Chat {
    /// Messages to send and get back, alternately text and binary.
    pub messages: u32,
    /// Length of each, in bytes.
    pub bytes: u32,
    /// Silence, without pings, before the last message.
    pub quiet: Duration,
}

/// Talks to the echo server behind `address`; gives the client's report: `echoed`, `quiet_seconds`, `close_code`.
///
/// # Errors
///
/// When a message did not come back as it was sent, or the connection ended early.
pub async fn websocket_client(address: SocketAddr, chat: Chat) -> Result<Value> {
    let launch = script("ws_client.py").await?.args([
        format!("ws://{address}/chat"),
        chat.messages.to_string(),
        chat.bytes.to_string(),
        chat.quiet.as_secs_f64().to_string(),
    ]);
    report(launch, chat.quiet + Duration::from_secs(30)).await
}

/// Closes a websocket to the echo server behind `address` with this code and reason, from the client's side or
/// (`by_server`) from the server's; gives what came back to the client: `code`, `reason`. The server tells in a line
/// `closed CODE REASON` what it got.
///
/// # Errors
///
/// When the connection broke before.
pub async fn websocket_close(
    address: SocketAddr,
    by_server: bool,
    code: u16,
    reason: &str,
) -> Result<Value> {
    let side = if by_server { "server" } else { "client" };
    let launch = script("ws_close.py").await?.args([
        format!("ws://{address}/chat"),
        side.to_owned(),
        code.to_string(),
        reason.to_owned(),
    ]);
    report(launch, Duration::from_secs(30)).await
}

/// A client of a peer that stays until it is told; [`Held::told`] gives its report.
#[derive(Debug)]
pub struct Held {
    process: Process,
}

/// A websocket to the echo server behind `address` that is used once and then only waits; the report has the `code` and
/// `reason` of its end.
///
/// # Errors
///
/// When it can't be opened.
pub async fn websocket_held(address: SocketAddr) -> Result<Held> {
    let url = format!("ws://{address}/chat");
    hold(
        script("ws_close.py")
            .await?
            .args([&url, "nobody", "1000", ""]),
    )
    .await
}

/// A call of both directions to the gRPC server behind `address` that is used once and then only waits; the report has the
/// `code` and `details` of its end.
///
/// # Errors
///
/// When it can't be opened.
pub async fn grpc_held(address: SocketAddr) -> Result<Held> {
    hold(script("grpc_hold.py").await?.args([address.to_string()])).await
}

/// A call of both directions to the gRPC server behind `address` that is used all the time, and opened anew when it was told to go
/// elsewhere; [`Held::stopped`] gives its report: `echoed`, `parted`, `failures`.
///
/// # Errors
///
/// When it can't be opened.
pub async fn grpc_stream(address: SocketAddr) -> Result<Held> {
    hold(script("grpc_stream.py").await?.args([address.to_string()])).await
}

/// A gRPC server (package `grpcio`, h2c) with all four kinds of call, trailing metadata, and the standard health service.
///
/// # Errors
///
/// When Python or its packages are missing, or it does not start.
pub async fn grpc_server(name: &str) -> Result<Peer> {
    let address = crate::ports::free()?;
    let launch = script("grpc_server.py")
        .await?
        .args([address.to_string(), name.to_owned()]);
    ready(launch, address).await
}

/// Makes all four kinds of call, and one that fails, through `address`; gives the client's report, one object
/// per kind with `ok` and `trailers`.
///
/// # Errors
///
/// When a call went wrong.
pub async fn grpc_client(address: SocketAddr) -> Result<Value> {
    let launch = script("grpc_client.py").await?.args([address.to_string()]);
    report(launch, Duration::from_secs(30)).await
}

async fn hold(launch: Launch) -> Result<Held> {
    let mut process = launch.env("PYTHONUNBUFFERED", "1").start()?;
    process.wait_line("^open$", START).await?;
    Ok(Held { process })
}

// === impl Held ===

impl Held {
    /// Ends it, for its report.
    ///
    /// # Errors
    ///
    /// When it does not end within `deadline`, or not well.
    pub async fn stopped(mut self, deadline: Duration) -> Result<Value> {
        self.process.signal(Signal::SIGTERM)?;
        self.told(deadline).await
    }

    /// Its report, once it has ended.
    ///
    /// # Errors
    ///
    /// When it does not end within `deadline`, or not well.
    pub async fn told(mut self, deadline: Duration) -> Result<Value> {
        let status = self.process.wait_exit(deadline).await?;
        let output = self.process.output();
        ensure!(status.success(), "{status}: {output}");
        let line = output.lines().last().context("the client said nothing")?;
        serde_json::from_str(line).with_context(|| format!("not a report: {output}"))
    }
}

async fn script(name: &str) -> Result<Launch> {
    Ok(Launch::new(name.trim_end_matches(".py"), python().await?).arg(peer_file(name)))
}

async fn ready(launch: Launch, address: SocketAddr) -> Result<Peer> {
    let mut process = launch.env("PYTHONUNBUFFERED", "1").start()?;
    process.wait_line("^ready$", START).await?;
    process.wait_tcp(address, START).await?;
    Ok(Peer {
        address,
        process,
        _dir: None,
    })
}

/// Runs a client to its end; its last line is a JSON report.
async fn report(launch: Launch, deadline: Duration) -> Result<Value> {
    let output = launch.env("PYTHONUNBUFFERED", "1").run_ok(deadline).await?;
    let line = output.lines().last().context("the client said nothing")?;
    serde_json::from_str(line).with_context(|| format!("not a report: {output}"))
}
