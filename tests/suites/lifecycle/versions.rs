//! Versions side by side: a neighbour that says more than this version knows, and orders that another version wrote.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::{Request, Response};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use strata_tests::http::{Body, Dial, full};
use strata_tests::process::Launch;
use strata_tests::topology::Topology;
use strata_tests::{eventually, ports, steadily, tools};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(20);
const LOAD: &str = "x-lb-region-load";

/// Carries requests to one address; what comes back says more than was said, as a later version would.
struct Later {
    address: SocketAddr,
    _task: JoinSet<()>,
}

// === impl Later ===

impl Later {
    fn start(target: SocketAddr) -> Result<Self> {
        let address = ports::free()?;
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(256)?;
        let mut task = JoinSet::new();
        task.spawn(accept(listener, target));
        Ok(Self {
            address,
            _task: task,
        })
    }
}

async fn accept(listener: TcpListener, target: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let carry = service_fn(move |request| carry(request, target));
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(stream), carry).await;
        });
    }
}

async fn carry(
    request: Request<Incoming>,
    target: SocketAddr,
) -> Result<Response<UnsyncBoxBody<bytes::Bytes, hyper::Error>>> {
    let (mut parts, body) = request.into_parts();
    let is_json = parts.uri.path().starts_with("/api/v1/");
    let body = body.collect().await?.to_bytes();
    let body = if is_json { more(&body) } else { body };
    parts.headers.remove("content-length");
    parts.headers.remove("transfer-encoding");
    if !body.is_empty() {
        parts.headers.insert("content-length", body.len().into());
    }
    let body: Body = full(body);
    let mut conn = Dial::http1(target).connect().await?;
    let response = conn.begin(Request::from_parts(parts, body)).await?;
    let (mut head, body) = response.into_parts();
    if let Some(load) = head.headers.get(LOAD) {
        let load = format!("{};zz=1;added=later", load.to_str()?);
        head.headers.insert(LOAD, load.parse()?);
    }
    if is_json {
        let body = more(&body.collect().await?.to_bytes());
        head.headers.insert("content-length", body.len().into());
        let body = http_body_util::Full::new(body).map_err(|never| match never {});
        return Ok(Response::from_parts(head, body.boxed_unsync()));
    }
    Ok(Response::from_parts(head, body.boxed_unsync()))
}

fn more(text: &bytes::Bytes) -> bytes::Bytes {
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else {
        return text.clone();
    };
    enlarge(&mut value);
    value.to_string().into()
}

/// Adds a field to each object that has more than one; an enum with data is an object of one.
fn enlarge(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(enlarge);
            if fields.len() > 1 {
                fields.insert("zz_added".to_owned(), json!({ "by": "a later version" }));
            }
        }
        Value::Array(all) => all.iter_mut().for_each(enlarge),
        _ => {}
    }
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens")
}

fn token(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("token");
    std::fs::write(&path, "a-token-of-the-tests-0123456789")?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
    Ok(path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_that_say_more_are_understood_and_nothing_fails() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let token = token(dir.path())?;
    // The replica of r1 and the second global one are of a later version, for all that others hear of them.
    let at: Vec<SocketAddr> = ports::several(4)?;
    let (listener, admin, globals) = (at[0], at[1], [at[2], at[3]]);
    let (data, told) = (Later::start(listener)?, Later::start(admin)?);
    let (data_address, told_address) = (data.address, told.address);
    let sheets = globals.map(Later::start);
    let [one, two] = sheets;
    let (one, two) = (one?, two?);
    let peers = [one.address, two.address].map(|address| address.to_string());
    let file = token.display().to_string();
    let plan = Topology::two_tier().globals(2).regions(2, 1, 1);
    let plan = plan.tune_regional(move |replica| {
        if replica.name == "r1-a" {
            (replica.listener, replica.admin) = (listener, admin);
        }
    });
    let plan = plan.tune_global(move |global| {
        global.admin = if global.name == "g1" {
            globals[0]
        } else {
            globals[1]
        };
        global.front.admin = format!("token_file: \"{file}\"");
        global.extra = format!("peers: {peers:?}\n");
        global.policy = "weighted".to_owned();
        for replica in &mut global.regions[0].replicas {
            if replica.0 == "r1-a" {
                *replica = (replica.0.clone(), data_address, told_address);
            }
        }
    });
    let platform = plan.start().await?;
    let users = platform.load().rate(100.0).posts(0.3, 500).no_resend();
    let users = users.start()?;
    let reported = async |name: &str, state: &str| {
        eventually(SOON, name, async || {
            for global in &platform.globals {
                let status = global.status().await?;
                let regions = status["regions"].as_array().context("regions")?;
                let region = regions.iter().find(|region| region["name"] == name);
                let region = region.context("no such region")?;
                ensure!(region["state"] == state, "{region}");
            }
            Ok(())
        })
        .await
    };
    reported("r1", "healthy").await?;
    // By header and by poll.
    let fresh = async || {
        let answer = platform.globals[0].admin_get("/api/v1/regions").await?;
        let regions = answer.json()?;
        let age = regions[0]["report_age_ms"].as_u64();
        ensure!(age.is_some_and(|age| age < 3000), "{}", regions[0]);
        Ok(())
    };
    eventually(SOON, "a report", fresh).await?;
    steadily(Duration::from_secs(3), "fresh reports", fresh).await?;
    let admin = globals[0].to_string();
    let lbctl = async |line: &str| {
        let launch = Launch::new("lbctl", tools::program("lbctl")?).env("USER", "ada");
        let launch = launch.args(["--admin", &admin, "--token-file"]).arg(&token);
        launch.args(line.split(' ')).run_ok(SOON).await
    };
    let told = lbctl("region drain r1 --over 0s --reason x").await?;
    ensure!(told.contains("applied 2/2"), "{told}");
    reported("r1", "drained").await?;
    lbctl("region undrain r1 --over 0s").await?;
    reported("r1", "healthy").await?;
    let report = users.stop().await;
    ensure!(report.failed == 0 && report.sent > 100, "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_another_version_wrote_are_in_force() -> Result<()> {
    for version in std::fs::read_dir(goldens())? {
        let version = version?.path();
        let dir = tempfile::tempdir()?;
        std::fs::copy(version.join("orders.json"), dir.path().join("orders.json"))?;
        let state = format!("state: {{ directory: \"{}\" }}\n", dir.path().display());
        let plan = Topology::two_tier().regions(2, 1, 1);
        let plan = plan.tune_global(move |global| {
            global.extra = state.clone();
            // The golden's name for it.
            global.regions[0].name = "eu-west".to_owned();
        });
        let plan = plan.tune_regional(|replica| {
            if replica.region == "r1" {
                replica.region = "eu-west".to_owned();
            }
        });
        let platform = plan.start().await?;
        let drains = platform.globals[0].admin_get("/api/v1/drains").await?;
        let drains = drains.json()?;
        ensure!(drains[0]["stage"] == "drained", "{version:?}: {drains}");
        let status = platform.globals[0].status().await?;
        ensure!(status["state"]["faults"] == json!([]), "{status}");
    }
    Ok(())
}
