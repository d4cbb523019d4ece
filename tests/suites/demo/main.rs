//! `lbctl demo` from its first line to its last process, and the other verbs against it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use strata_tests::process::{Launch, Process};
use strata_tests::{alone, eventually, http, tools};

const SOON: Duration = Duration::from_secs(10);
/// Seventeen processes of a debug build on a busy machine.
const START: Duration = Duration::from_secs(45);
const ORPHANS_END: Duration = Duration::from_secs(5);

/// A demo that runs.
struct Demo {
    process: Process,
    topology: Value,
}

// === impl Demo ===

impl Demo {
    async fn start(args: &[&str]) -> Result<Self> {
        let launch = Launch::new("lbctl", tools::program("lbctl")?);
        let mut process = launch
            .args(["demo", "--output", "json"])
            .args(args.iter().copied())
            .start()?;
        let line = process.wait_line(r"^(\{.*\})$", START).await?;
        let topology = serde_json::from_str(&line)?;
        Ok(Self { process, topology })
    }

    fn processes(&self, role: &str) -> Vec<&Value> {
        let all = self.topology["processes"].as_array();
        let of_role = |known: &&Value| role.is_empty() || known["role"] == role;
        all.into_iter().flatten().filter(of_role).collect()
    }

    fn pids(&self) -> Result<Vec<i32>> {
        self.processes("").into_iter().map(pid).collect()
    }

    fn directory(&self) -> Result<&Path> {
        Ok(Path::new(
            self.topology["directory"]
                .as_str()
                .context("no directory")?,
        ))
    }

    fn admins(&self, role: &str) -> Result<String> {
        let admins = self
            .processes(role)
            .into_iter()
            .map(|known| known["admin"].as_str());
        Ok(admins
            .collect::<Option<Vec<_>>>()
            .context("no admin")?
            .join(","))
    }

    /// Nothing is left: no process within `deadline`, and no directory when lbctl could end by itself.
    async fn leaves_nothing(&self, pids: &[i32], deadline: Duration) -> Result<()> {
        eventually(deadline, "the end of all processes", async || {
            let left: Vec<_> = pids.iter().filter(|pid| is_alive(**pid)).collect();
            ensure!(left.is_empty(), "{left:?} are alive");
            Ok(())
        })
        .await
    }
}

fn pid(process: &Value) -> Result<i32> {
    let pid = process["pid"].as_i64().context("no pid")?;
    ensure!(pid > 0, "{process}");
    Ok(i32::try_from(pid)?)
}

fn address(process: &Value) -> Result<SocketAddr> {
    Ok(process["address"].as_str().context("no address")?.parse()?)
}

fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Runs lbctl to its end: its exit code and what it wrote.
async fn lbctl(args: &[&str]) -> Result<(i32, String)> {
    let launch = Launch::new("lbctl", tools::program("lbctl")?).args(args.iter().copied());
    let (status, output) = launch.run(SOON).await?;
    Ok((status.code().context("ended by a signal")?, output))
}

#[tokio::test]
async fn the_demo_serves_survives_a_kill_and_leaves_nothing_on_ctrl_c() -> Result<()> {
    // Two demos at once would be 34 processes.
    let _alone = alone().await;
    let mut demo = Demo::start(&[]).await?;
    let pids = demo.pids()?;
    ensure!(
        pids.len() == 17,
        "2 + 3 × (2 + 3) processes: {}",
        demo.topology
    );
    for process in demo.processes("") {
        let answer = http::get(address(process)?, "/").await?;
        ensure!(answer.status == 200, "{process}: {answer:?}");
        ensure!(!answer.header("x-served-by").is_empty(), "{answer:?}");
    }
    let url = demo.topology["url"].as_str().context("no url")?;
    let users: SocketAddr = url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()?;
    let regional = demo.processes("regional-lb");
    let victim = regional.first().copied().context("no regional replica")?;
    kill(Pid::from_raw(pid(victim)?), Signal::SIGKILL)?;
    for _ in 0..100 {
        let answer = http::get(users, "/").await?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    let name = victim["name"].as_str().unwrap_or_default().to_owned();
    demo.process
        .wait_line(&format!("{name} is gone: killed by SIGKILL"), SOON)
        .await?;
    let directory = demo.directory()?.to_owned();
    ensure!(directory.is_dir(), "{}", directory.display());
    demo.process.signal(Signal::SIGINT)?;
    let status = demo.process.wait_exit(SOON * 2).await?;
    ensure!(status.success(), "{status}\n{}", demo.process.tail());
    // It ends after its children, so nothing may be left at this very moment.
    demo.leaves_nothing(&pids, Duration::from_millis(100))
        .await?;
    ensure!(!directory.exists(), "{} is left", directory.display());
    Ok(())
}

#[tokio::test]
async fn a_killed_demo_leaves_no_process() -> Result<()> {
    let _alone = alone().await;
    let mut demo = Demo::start(&["--quiet"]).await?;
    let pids = demo.pids()?;
    let directory = demo.directory()?.to_owned();
    demo.process.kill();
    demo.leaves_nothing(&pids, ORPHANS_END).await?;
    // Nobody is left to remove it.
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

#[tokio::test]
async fn a_demo_for_a_while_ends_by_itself() -> Result<()> {
    let _alone = alone().await;
    let mut demo = Demo::start(&["--for", "100ms"]).await?;
    let pids = demo.pids()?;
    let status = demo.process.wait_exit(SOON * 2).await?;
    ensure!(status.success(), "{status}\n{}", demo.process.tail());
    demo.leaves_nothing(&pids, Duration::from_millis(100)).await
}

#[tokio::test]
async fn the_verbs_show_the_demo() -> Result<()> {
    let _alone = alone().await;
    let demo = Demo::start(&["--quiet"]).await?;
    let (global, regional) = (demo.admins("global-lb")?, demo.admins("regional-lb")?);
    let one = regional.split(',').next().context("no admin")?;
    let first = global.split(',').next().context("no admin")?;

    let (code, table) = lbctl(&["--admin", &global, "status"]).await?;
    ensure!(
        code == 0 && table.contains("REPLICA") && table.contains("global-2"),
        "{table}"
    );
    let (code, json) = lbctl(&["--admin", first, "--output", "json", "status"]).await?;
    let status: Value = serde_json::from_str(&json)?;
    ensure!(
        code == 0 && status["tier"] == "global" && status["ready"] == true,
        "{json}"
    );

    let (code, table) = lbctl(&["--admin", first, "regions"]).await?;
    for region in ["eu-west", "us-east", "ap-south"] {
        ensure!(code == 0 && table.contains(region), "{table}");
    }
    let (_, json) = lbctl(&["--admin", first, "-o", "json", "regions"]).await?;
    let regions: Value = serde_json::from_str(&json)?;
    ensure!(json.contains("eu-west-1") && !regions.is_null(), "{json}");

    let (code, table) = lbctl(&["--admin", one, "pools"]).await?;
    ensure!(code == 0 && table.contains("eu-west-web-3"), "{table}");
    let (_, json) = lbctl(&["--admin", one, "-o", "json", "pools"]).await?;
    let pools: Value = serde_json::from_str(&json)?;
    ensure!(json.contains("eu-west-web-1") && !pools.is_null(), "{json}");

    let (code, json) = lbctl(&["--admin", &global, "-o", "json", "status"]).await?;
    let both: Value = serde_json::from_str(&json)?;
    ensure!(
        code == 0 && both.as_array().is_some_and(|list| list.len() == 2),
        "{json}"
    );

    let closed = strata_tests::ports::free()?.to_string();
    let some = format!("{first},{closed}");
    let (code, said) = lbctl(&["--admin", &some, "status"]).await?;
    ensure!(code == 5, "some answered: {code} {said}");
    for file in demo
        .processes("")
        .iter()
        .filter_map(|known| known["config"].as_str())
    {
        let (code, said) = lbctl(&["config", "check", file]).await?;
        ensure!(code == 0, "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn exit_codes_tell_what_went_wrong() -> Result<()> {
    let closed = strata_tests::ports::free()?.to_string();
    for verb in ["status", "pools", "regions"] {
        let (code, said) = lbctl(&["--admin", &closed, verb]).await?;
        ensure!(code == 6 && said.contains(&closed), "{verb}: {code} {said}");
    }
    for bad in [
        &["nonsense"][..],
        &["status", "--nonsense"],
        &["--admin", "x", "status"],
        &[],
    ] {
        let (code, said) = lbctl(bad).await?;
        ensure!(code == 2, "{bad:?}: {code} {said}");
    }
    ensure!(lbctl(&["--help"]).await?.0 == 0);
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("lb.yaml");
    let path = file.display().to_string();
    let good = "name: a\nregion: b\nlisteners: [{ name: w, address: '127.0.0.1:8081' }]\n\
                routes: [{ name: all, pool: p }]\n\
                pools: [{ name: p, servers: [{ name: s, address: '127.0.0.1:9001' }] }]\n";
    std::fs::write(&file, good)?;
    let (code, said) = lbctl(&["config", "check", &path]).await?;
    ensure!(code == 0, "{said}");
    std::fs::write(&file, good.replace("pool: p ", "pool: q "))?;
    let (code, said) = lbctl(&["config", "check", &path]).await?;
    ensure!(
        code == 3 && said.contains(&format!("{path}:4")),
        "{code} {said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_taken_port_is_told() -> Result<()> {
    // One more than the base is taken, so the demo must not start anything.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let base = (taken.local_addr()?.port() - 1).to_string();
    let (code, said) = lbctl(&["demo", "--base-port", &base]).await?;
    ensure!(
        code == 1 && said.contains("is in use by another program"),
        "{code} {said}"
    );
    Ok(())
}
