//! Every file in `conf/` is run, and answers as its routes promise.

mod global;
mod migration;
mod regional;
mod stage;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::process::Launch;
use strata_tests::tools;

/// Files that a test here runs.
const RUN: [&str; 24] = [
    "examples/affinity.yaml",
    "examples/dns-servers.yaml",
    "examples/geo.yaml",
    "examples/grpc.yaml",
    "examples/header-routing.yaml",
    "examples/kubernetes-service.yaml",
    "examples/multi-region-weighted.yaml",
    "examples/overload.yaml",
    "examples/redirects.yaml",
    "examples/region-affinity.yaml",
    "examples/shadow.yaml",
    "examples/shared-orders.yaml",
    "examples/sticky-hash.yaml",
    "examples/tls-sni.yaml",
    "examples/websocket.yaml",
    "examples/zones.yaml",
    "global.yaml",
    "migration/envoy/global.yaml",
    "migration/envoy/regional-eu.yaml",
    "migration/envoy/regional-us.yaml",
    "migration/haproxy/regional.yaml",
    "migration/ingress-nginx/regional.yaml",
    "migration/ingress-nginx/to-https.yaml",
    "regional.yaml",
];

#[test]
fn no_file_is_without_a_test() -> Result<()> {
    let mut found = BTreeSet::new();
    let [nginx, haproxy, envoy] = migration::NAMES.map(|name| format!("migration/{name}/"));
    for dir in ["", "examples/", &nginx, &haproxy, &envoy] {
        for entry in std::fs::read_dir(stage::conf().join(dir))? {
            let name = format!("{dir}{}", entry?.file_name().to_string_lossy());
            if name.ends_with(".yaml") {
                found.insert(name);
            }
        }
    }
    let run: BTreeSet<String> = RUN.iter().map(ToString::to_string).collect();
    ensure!(found == run, "in conf/: {found:?}, run: {run:?}");
    Ok(())
}

/// The commands that the files and their documentation name.
#[tokio::test]
async fn every_file_passes_the_documented_checks() -> Result<()> {
    for name in RUN {
        let file = stage::conf().join(name);
        let program = stage::tier(&std::fs::read_to_string(&file)?).program();
        for launch in [
            Launch::new(program, tools::program(program)?).args(["check", "--config"]),
            Launch::new("lbctl", tools::program("lbctl")?).args(["config", "check"]),
        ] {
            launch.arg(&file).run_ok(Duration::from_secs(5)).await?;
        }
    }
    Ok(())
}
