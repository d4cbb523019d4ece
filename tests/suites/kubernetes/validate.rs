//! The schemas of three Kubernetes versions, strictly: what they don't know is a fault.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::process::Launch;
use strata_tests::tools;

use crate::render;

/// The first that has all that is used, one between, and the last that there are schemas of.
const VERSIONS: [&str; 3] = ["1.33", "1.35", "1.37"];
const LIMIT: Duration = Duration::from_secs(120);

async fn validate(dir: &Path, version: &str) -> Result<(bool, String)> {
    let program = tools::python().await?.with_file_name("kubernetes-validate");
    let mut launch = Launch::new("kubernetes-validate", program);
    launch = launch.args(["--strict", "-k", version]);
    let mut files: Vec<_> = std::fs::read_dir(dir)?
        .map(|file| Ok(file?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    for file in files {
        launch = launch.arg(file);
    }
    let (status, output) = launch.run(LIMIT).await?;
    Ok((status.success(), output))
}

#[tokio::test]
async fn all_validate_strictly_against_three_versions() -> Result<()> {
    // Most objects are the same in many overlays.
    let mut texts = BTreeSet::new();
    for rendered in render::all().await?.values() {
        texts.extend(rendered.text.split("\n---\n").map(str::trim));
    }
    let (dir, objects) = (tempfile::tempdir()?, texts.len());
    let text: Vec<&str> = texts.into_iter().collect();
    std::fs::write(dir.path().join("all.yaml"), text.join("\n---\n"))?;
    for version in VERSIONS {
        let (good, output) = validate(dir.path(), version).await?;
        ensure!(good, "{version}: {}", faults(&output));
        // Kinds without a schema are only warned of: none but the two of the Prometheus operator.
        let unknown = output
            .lines()
            .filter(|line| !line.contains("passed for resource"));
        for line in unknown {
            let known = ["podmonitor", "prometheusrule"];
            let line = line.to_lowercase();
            ensure!(
                known.iter().any(|kind| line.contains(kind)),
                "{version}: {line}"
            );
        }
        let passed = output.matches("passed for resource").count();
        ensure!(
            passed * 10 > objects * 9,
            "{version}: {passed} of {objects}"
        );
    }
    Ok(())
}

/// The control: a slip of one letter, and a value of the wrong kind.
#[tokio::test]
async fn slips_are_found() -> Result<()> {
    let text = &render::one("global").await?.text;
    for (right, wrong) in [
        ("minReadySeconds: 10", "minReadySecond: 10"),
        ("maxUnavailable: 1", "maxUnavailable: [1]"),
        ("failureThreshold: 60", "failureThreshold: sixty"),
    ] {
        let changed = text.replacen(right, wrong, 1);
        ensure!(changed != *text, "there is no {right}");
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("global.yaml"), changed)?;
        for version in VERSIONS {
            let (good, output) = validate(dir.path(), version).await?;
            ensure!(!good, "{version} takes {wrong}: {output}");
        }
    }
    Ok(())
}

fn faults(output: &str) -> String {
    let faults = output.lines().filter(|line| !line.contains("passed for"));
    faults.collect::<Vec<_>>().join("\n")
}

/// Kinds that the validator does not know are compared with what we expect of them.
#[tokio::test]
async fn what_prometheus_scrapes_exists() -> Result<()> {
    for overlay in ["global", "region-eu"] {
        let objects = &render::one(overlay).await?.objects;
        let monitor = objects.of("PodMonitor").next().context("no PodMonitor")?;
        let selector = &monitor["spec"]["selector"]["matchLabels"];
        let ours = objects.ours().next().context("nothing runs")?;
        ensure!(
            crate::objects::selects(selector, ours.labels()),
            "{monitor}"
        );
        let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
        let ports = crate::objects::list(&ours.container["ports"]);
        ensure!(
            ports.iter().any(|known| known["name"] == *port),
            "{monitor}"
        );
        let label = crate::objects::text(&monitor["spec"]["jobLabel"]);
        ensure!(
            ours.labels()[label] == "strata",
            "the rules ask for the job strata"
        );
    }
    Ok(())
}
