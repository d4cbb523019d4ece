//! Users of every kind while a region leaves and comes back: websockets, uploads, slow downloads, gRPC, and short requests.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::process::Launch;
use strata_tests::topology::{Platform, Topology};
use strata_tests::users::{Servers, Users};
use strata_tests::{eventually, tools};
use tokio::time::sleep;

use crate::bed::{SOON, TARGET};

async fn lbctl(platform: &Platform, token: &Path, line: &str) -> Result<()> {
    let admin = platform.globals[0].admin().to_string();
    let launch = Launch::new("lbctl", tools::program("lbctl")?)
        .env("USER", "ada")
        .args(["--admin", &admin, "--token-file"])
        .arg(token)
        .args(line.split(' ').map(str::to_owned));
    launch.run_ok(SOON * 4).await.map(drop)
}

/// Requests that the region's replicas have had.
async fn requests(platform: &Platform, region: usize) -> Result<u64> {
    let mut sum = 0;
    for replica in &platform.regions[region].replicas {
        sum += replica.status().await?["requests_total"]
            .as_u64()
            .unwrap_or(0);
    }
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_every_kind_meet_a_drain_and_an_undrain() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let (dir, servers) = (tempfile::tempdir()?, Servers::start().await?);
    let token = dir.path().join("token");
    std::fs::write(&token, "a-token-of-the-tests-0123456789")?;
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600))?;
    let line = format!("token_file: \"{}\"", token.display());
    let plan = Topology::two_tier().globals(1).regions(2, 1, 2);
    let plan = plan.tune_global(move |file| {
        file.front.admin.clone_from(&line);
        "weighted".clone_into(&mut file.policy);
    });
    let platform = servers.behind(plan).start().await?;
    let users = Users::start(&platform, platform.address()?).await?;
    for round in 0..2 {
        let before = requests(&platform, 0).await?;
        eventually(SOON, "requests in the region", async || {
            let now = requests(&platform, 0).await?;
            ensure!(now > before + 20, "round {round}: {before} to {now}");
            Ok(())
        })
        .await?;
        // The other has no room that is known to be enough on a busy machine; what it sheds would show.
        let line = "region drain r1 --over 2s --reason x --override over_capacity";
        lbctl(&platform, &token, line).await?;
        eventually(SOON, "the end of the ramp", async || {
            let drains = platform.globals[0].admin_get("/api/v1/drains").await?;
            let drains = drains.json()?;
            ensure!(drains[0]["share"] == 0.0, "{drains}");
            Ok(())
        })
        .await?;
        sleep(TARGET).await;
        let before = requests(&platform, 0).await?;
        sleep(Duration::from_secs(2)).await;
        let after = requests(&platform, 0).await?;
        ensure!(after == before, "{} new requests", after - before);
        lbctl(&platform, &token, "region undrain r1 --over 2s --wait-done").await?;
    }
    let accounts = users.stop(platform.ledgers()).await?;
    ensure!(accounts.failed() == 0, "{accounts}");
    ensure!(accounts.is_busy(), "{accounts}");
    eprintln!("{accounts}");
    Ok(())
}
