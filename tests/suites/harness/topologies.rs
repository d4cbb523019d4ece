//! The topology builder starts, kills, freezes, restarts and reconfigures, shown with a stand-in for our programs.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::load::Mode;
use strata_tests::process::Signal;
use strata_tests::reconcile::reconcile;
use strata_tests::tools::peer_file;
use strata_tests::topology::Topology;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(5);

fn stand_ins() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    for name in ["regional-lb", "global-lb"] {
        let file = dir.path().join(name);
        std::fs::copy(peer_file("stand_in.py"), &file)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(dir)
}

#[tokio::test]
async fn two_tiers_carry_traffic_through_every_part() -> Result<()> {
    let programs = stand_ins()?;
    let plan = Topology::two_tier()
        .globals(2)
        .regions(2, 2, 2)
        .programs(programs.path());
    let mut platform = plan.start().await?;
    ensure!(platform.addresses().len() == 2 && platform.replicas().count() == 6);
    let load = platform.load().mode(Mode::NewConnection).rate(100.0);
    let report = load.run_for(Duration::from_secs(1)).await?;
    ensure!(report.success_ratio() == 1.0, "{report}");
    ensure!(
        report.by_server().len() == 4,
        "all servers of all regions: {report}"
    );
    ensure!(
        reconcile(&report, platform.ledgers()).is_clean(),
        "{report}"
    );
    for replica in platform.replicas() {
        let name = replica.name().to_owned();
        ensure!(
            replica.status().await?["name"] == name.as_str(),
            "status of {name}"
        );
        ensure!(
            replica.metric("stand_in_connections", &[&name]).await? > 0.0,
            "idle: {name}"
        );
        ensure!(
            replica.metric("stand_in", &[]).await? == 0.0,
            "a prefix is not a name"
        );
    }
    Ok(())
}

#[tokio::test]
async fn replicas_are_killed_frozen_and_restarted_by_name() -> Result<()> {
    let programs = stand_ins()?;
    let plan = Topology::two_tier()
        .regions(1, 2, 1)
        .programs(programs.path());
    let mut platform = plan.start().await?;
    let gone = platform.replica("r1-a")?;
    gone.kill();
    ensure!(
        !gone.is_running() && gone.admin_get("/readyz").await.is_err(),
        "killed"
    );
    ensure!(
        gone.signal(Signal::SIGHUP).is_err(),
        "a dead replica took a signal"
    );
    let report = platform
        .load()
        .mode(Mode::NewConnection)
        .run_for(SOON / 10)
        .await?;
    ensure!(report.success_ratio() == 1.0, "its sister serves: {report}");
    platform.replica("r1-b")?.freeze().await?;
    let load = platform
        .load()
        .mode(Mode::NewConnection)
        .deadline(SOON / 20);
    let report = load.run_for(SOON / 10).await?;
    ensure!(report.ok == 0, "nobody can have answered: {report}");
    platform.replica("r1-b")?.thaw().await?;
    platform.replica("r1-a")?.restart().await?;
    platform.wait_ready().await?;
    ensure!(
        platform
            .replica("r1-a")?
            .output()
            .matches("r1-a listens")
            .count()
            == 2,
        "two lives"
    );
    ensure!(platform.replica("nobody").is_err() && platform.region("r9").is_err());
    Ok(())
}

#[tokio::test]
async fn files_are_rewritten_and_reloaded() -> Result<()> {
    let programs = stand_ins()?;
    let plan = Topology::regional()
        .pool("web", 3)
        .pool("api", 2)
        .programs(programs.path());
    let tuned = plan.tune_regional(|file| file.extra = "# tuned\n".to_owned());
    let mut platform = tuned.start().await?;
    let replica = platform.replica("r1-a")?;
    ensure!(std::fs::read_to_string(replica.config())?.ends_with("# tuned\n"));
    ensure!(replica.status().await?["endpoints"] == 5);
    replica.rewrite(|text| {
        text.lines()
            .filter(|l| !l.contains("r1-api-2"))
            .fold(String::new(), |all, line| all + line + "\n")
    })?;
    replica.signal(Signal::SIGHUP)?;
    eventually(SOON, "the reload", async || {
        let status = replica.status().await?;
        ensure!(status["endpoints"] == 4, "{status}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_program_that_does_not_start_shows_why() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let missing = Topology::regional().programs(dir.path()).start().await;
    let text = format!("{:#}", missing.err().unwrap());
    ensure!(text.contains("regional-lb"), "{text}");
    let file = dir.path().join("regional-lb");
    std::fs::write(&file, "#!/bin/sh\necho no such option; exit 2\n")?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    let broken = Topology::regional().programs(dir.path()).start().await;
    let text = format!("{:#}", broken.err().unwrap());
    ensure!(
        text.contains("no such option") && text.contains("exit status: 2"),
        "{text}"
    );
    Ok(())
}
