//! A configuration in several files, with a variable for what differs from replica to replica: as two ConfigMaps and a pod's name.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use strata_tests::process::{Launch, Process};
use strata_tests::server::Server;
use strata_tests::{eventually, http, ports, tools};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::bed::{LIVE, SOON, publish};

struct Pod {
    servers: Vec<Server>,
    process: Process,
    address: SocketAddr,
    admin: SocketAddr,
    dir: TempDir,
}

// === impl Pod ===

impl Pod {
    async fn start() -> Result<Self> {
        let mut servers = Vec::new();
        for number in 1..=2 {
            servers.push(Server::start(format!("s{number}")).await?);
        }
        let dir = tempfile::tempdir()?;
        let (address, admin) = (ports::free()?, ports::free()?);
        let main = dir.path().join("bootstrap/lb.yaml");
        let text = format!(
            "name: of-the-file\nregion: here\ninclude: [../pools/*.yaml]\n\
             listeners: [{{ name: web, address: '{address}' }}]\nadmin: {{ address: '127.0.0.1:1' }}\n"
        );
        publish(&main, "1", &text)?;
        publish(
            &dir.path().join("pools/app.yaml"),
            "1",
            &pool("app", "/", servers[0].address()),
        )?;
        let launch = Launch::new("r1", tools::program("regional-lb")?);
        let process = launch
            .env("LB__NAME", "pod-7")
            .env("LB__ADMIN__ADDRESS", admin.to_string())
            .args(["run", "--config"])
            .arg(&main)
            .start()?;
        let mut pod = Self {
            servers,
            process,
            address,
            admin,
            dir,
        };
        pod.process.wait_http(admin, "/readyz", 200, SOON).await?;
        Ok(pod)
    }

    fn pools(&self, file: &str) -> std::path::PathBuf {
        self.dir.path().join("pools").join(file)
    }

    async fn config(&self) -> Result<Value> {
        http::get(self.admin, "/api/v1/config").await?.json()
    }

    /// Does `change` and waits for its end, good or bad.
    async fn look(&self, change: impl FnOnce() -> Result<()>) -> Result<Value> {
        let total = |config: &Value| {
            let counts = &config["reloads_total"];
            Some(counts["ok"].as_u64()? + counts["failed"].as_u64()?)
        };
        let before = total(&self.config().await?).context("no count of reloads")?;
        change()?;
        eventually(SOON, "a look at the files", async || {
            let config = self.config().await?;
            ensure!(total(&config) > Some(before), "{config}");
            Ok(config)
        })
        .await
    }

    async fn answered_by(&self, path: &str) -> Result<String> {
        let answer = http::get(self.address, path).await?;
        Ok(answer.header("x-served-by").to_owned())
    }
}

fn pool(name: &str, prefix: &str, server: SocketAddr) -> String {
    format!(
        "routes: [{{ name: {name}, pool: {name}, match: {{ path: {{ prefix: {prefix} }} }} }}]\n\
         pools: [{{ name: {name}, servers: [{{ name: s, address: '{server}' }}] }}]\n"
    )
}

#[tokio::test]
async fn included_files_reload_and_variables_stay() -> Result<()> {
    let pod = Pod::start().await?;
    let status: Value = http::get(pod.admin, "/api/v1/status").await?.json()?;
    ensure!(
        status["replica"] == "pod-7" || status["identity"]["replica"] == "pod-7",
        "{status}"
    );
    ensure!(pod.answered_by("/").await? == "s1");

    // A swapped ConfigMap.
    let start = Instant::now();
    let swapped = pool("app", "/", pod.servers[1].address());
    let config = pod
        .look(|| publish(&pod.pools("app.yaml"), "2", &swapped))
        .await?;
    ensure!(
        config["last_reload_ok"] == true && start.elapsed() <= LIVE,
        "{config} {:?}",
        start.elapsed()
    );
    ensure!(
        config["deferred"].as_array().is_none_or(Vec::is_empty),
        "{config}"
    );
    ensure!(pod.answered_by("/").await? == "s2");

    // Another team's file, which comes and goes.
    let more = pool("more", "/more", pod.servers[0].address());
    let config = pod
        .look(|| Ok(std::fs::write(pod.pools("more.yaml"), &more)?))
        .await?;
    ensure!(config["last_reload_ok"] == true, "{config}");
    ensure!(pod.answered_by("/more").await? == "s1" && pod.answered_by("/").await? == "s2");
    let config = pod
        .look(|| Ok(std::fs::remove_file(pod.pools("more.yaml"))?))
        .await?;
    ensure!(config["last_reload_ok"] == true, "{config}");
    ensure!(pod.answered_by("/more").await? == "s2");
    Ok(())
}

#[tokio::test]
async fn a_fault_in_an_included_file_is_told_with_its_place() -> Result<()> {
    let pod = Pod::start().await?;
    let bad = "pools:\n  - { name: other, sevrers: [] }\n";
    let config = pod
        .look(|| Ok(std::fs::write(pod.pools("bad.yaml"), bad)?))
        .await?;
    ensure!(config["last_reload_ok"] == false, "{config}");
    let fault = &config["error"][0];
    let named = fault["file"]
        .as_str()
        .is_some_and(|file| file.ends_with("pools/bad.yaml"));
    ensure!(named && fault["line"] == 2, "{config}");
    ensure!(
        pod.answered_by("/").await? == "s1",
        "the last good one serves on"
    );

    // A file that its owner may not leave out.
    let main = pod.dir.path().join("bootstrap/lb.yaml");
    let text = std::fs::read_to_string(&main)?.replace("*.yaml", "gone.yaml");
    let config = pod.look(|| publish(&main, "2", &text)).await?;
    ensure!(config["last_reload_ok"] == false, "{config}");
    ensure!(
        config["error"][0]["reason"]
            .to_string()
            .contains("gone.yaml"),
        "{config}"
    );
    ensure!(pod.answered_by("/").await? == "s1");
    Ok(())
}

#[tokio::test]
async fn a_variable_that_fits_nowhere_keeps_the_program_from_starting() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("lb.yaml");
    std::fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/regional.yaml"),
        &file,
    )?;
    for (program, verb) in [
        ("regional-lb", vec!["check"]),
        ("lbctl", vec!["config", "check"]),
    ] {
        let check = |value: Option<&str>| {
            let mut command = std::process::Command::new(tools::program(program)?);
            command.args(&verb).arg(&file);
            command.envs(value.map(|value| ("LB__SHUTDOWN__LAME_DUKC", value)));
            anyhow::Ok(command.output()?)
        };
        ensure!(check(None)?.status.success());
        let output = check(Some("5s"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(3), "{program}: {said}");
        ensure!(
            said.contains("$LB__SHUTDOWN__LAME_DUKC:1:1") && said.contains("lame_duck"),
            "{said}"
        );
    }
    Ok(())
}
