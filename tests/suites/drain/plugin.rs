//! `kubectl lb`: an operator outside of the pods' network drains a region and looks at everything, by kubectl's forwarded ports.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strata_tests::process::Launch;
use strata_tests::tools;
use tempfile::TempDir;

use crate::bed::{Bed, Told, unharmed};

/// A machine with `kubectl`, which knows the bed's replicas as pods, and `kubectl-lb`.
struct Desk {
    dir: TempDir,
    pods: Value,
}

// === impl Desk ===

impl Desk {
    fn new(bed: &Bed) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let link =
            |from: PathBuf, name: &str| std::os::unix::fs::symlink(from, dir.path().join(name));
        link(tools::peer_file("kubectl.py"), "kubectl")?;
        link(tools::program("lbctl")?, "kubectl-lb")?;
        let pod = |name: &str, component: &str, admin: std::net::SocketAddr| {
            json!({
                "name": name,
                "labels": { "app.kubernetes.io/name": "strata", "app.kubernetes.io/component": component },
                "address": admin.to_string(),
                "phase": "Running",
            })
        };
        let globals = bed.platform.globals.iter();
        let mut pods: Vec<Value> = globals
            .map(|g| pod(g.name(), "global-lb", g.admin()))
            .collect();
        for replica in bed
            .platform
            .regions
            .iter()
            .flat_map(|region| &region.replicas)
        {
            pods.push(pod(replica.name(), "regional-lb", replica.admin()));
        }
        pods.push(json!({ "name": "new", "labels": { "app.kubernetes.io/name": "strata", "app.kubernetes.io/component": "global-lb" },
            "address": "127.0.0.1:1", "phase": "Pending" }));
        let token = std::fs::read_to_string(bed.token())?;
        Ok(Self {
            dir,
            pods: json!({ "token": token, "pods": pods }),
        })
    }

    async fn lb(&self, line: &str) -> Result<Told> {
        let file = self.dir.path().join("pods.json");
        std::fs::write(&file, self.pods.to_string())?;
        let path = std::env::var("PATH").unwrap_or_default();
        let launch = Launch::new("kubectl-lb", self.dir.path().join("kubectl-lb"));
        let (status, text) = launch
            .args(line.split(' '))
            .env("PATH", format!("{}:{path}", self.dir.path().display()))
            .env("PODS_FILE", file.display().to_string())
            .env("USER", "ada")
            .run(Duration::from_secs(90))
            .await?;
        Ok(Told {
            code: status.code().unwrap_or(-1),
            text,
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_is_drained_through_forwarded_ports() -> Result<()> {
    let bed = Bed::start_alone().await?;
    let mut desk = Desk::new(&bed)?;
    let users = bed.users()?;
    let told = desk
        .lb("-n edge region drain r2 --over 0s --reason maintenance --wait")
        .await?;
    ensure!(told.code == 0 && told.text.contains("3/3"), "{told:?}");
    for at in 0..3 {
        bed.reaches(at, "region/r2", "drained").await?;
    }
    // One can't be reached: said, and the others are enough.
    desk.pods["pods"][0]["unreachable"] = true.into();
    let told = desk.lb("-n edge region drains").await?;
    ensure!(
        told.code == 0 && told.text.contains("maintenance"),
        "{told:?}"
    );
    ensure!(told.text.contains("can't be reached"), "{told:?}");
    let told = desk.lb("-n edge region undrain r2 --reason done").await?;
    ensure!(told.code == 0, "{told:?}");
    unharmed(users).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_wrongly_is_told_what_to_do() -> Result<()> {
    let bed = Bed::start_alone().await?;
    let desk = Desk::new(&bed)?;
    let told = desk.lb("-n edge status -o name").await?;
    let count = told.text.lines().count();
    ensure!(told.code == 0 && count == 6, "{count}: {told:?}");
    for (line, code, part) in [
        ("-n other status", 6, "namespaces \"other\" not found"),
        ("-n edge -l app=none status", 6, "--selector"),
        (
            "-n edge --token-secret none region drain r2 --reason x",
            6,
            "--token-secret names its secret",
        ),
        (
            "-n edge upgrade --run-directory /run/x",
            2,
            "kubectl rollout status",
        ),
    ] {
        let told = desk.lb(line).await?;
        ensure!(
            told.code == code && told.text.contains(part),
            "{line}: {told:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_pods_than_can_be_asked_are_told_and_get_no_order() -> Result<()> {
    let bed = Bed::start_alone().await?;
    let mut desk = Desk::new(&bed)?;
    let told = desk.lb("-n edge regions").await?;
    ensure!(
        told.code == 0 && !told.text.contains("are meant"),
        "{told:?}"
    );
    // Their names come last: those that are asked are the first of the list.
    let twin = json!({ "labels": { "app.kubernetes.io/name": "strata", "app.kubernetes.io/component": "global-lb" },
        "address": bed.platform.globals[0].admin().to_string(), "phase": "Running" });
    let pods = desk.pods["pods"].as_array_mut().context("pods")?;
    for number in 0..30 {
        let mut pod = twin.clone();
        pod["name"] = format!("z{number:02}").into();
        pods.push(pod);
    }
    let told = desk.lb("-n edge regions").await?;
    ensure!(
        told.code == 0 && told.text.contains("33 pods are meant"),
        "{told:?}"
    );
    let order = "-n edge region drain r2 --reason x --wait=all";
    let told = desk.lb(order).await?;
    ensure!(
        told.code == 4 && told.text.contains("--selector"),
        "{told:?}"
    );
    let told = desk.lb("-n edge region drains -o name").await?;
    ensure!(!told.text.contains("r2"), "{told:?}");
    Ok(())
}
