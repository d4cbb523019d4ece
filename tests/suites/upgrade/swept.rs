//! A run directory that somebody sweeps under a process that serves from it.

use std::path::Path;

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::process::Launch;
use strata_tests::tools;
use strata_tests::topology::Tier;

use crate::requests::Requests;
use crate::rig::{Rig, SOON};

fn sweep(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Removes something, waits until the process has put it back, and upgrades.
async fn swept(tier: Tier, sweep: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let mut rig = Rig::start(tier, "200ms").await?;
    let users = Requests::start(rig.platform.address()?)?;
    users.at_work().await?;
    // Twice: what a successor has put there is swept as well.
    for _ in 0..2 {
        let old = rig.pid()?;
        let directory = rig.run_directory();
        sweep(&directory)?;
        eventually(SOON, "its files", async || {
            ensure!(rig.pid()? == old);
            let names = ["upgrade.sock".to_owned(), format!("admin-{old}.sock")];
            for name in names {
                ensure!(directory.join(&name).exists(), "no {name}");
            }
            Ok(())
        })
        .await?;
        let new = rig.upgraded(&[]).await?;
        rig.serves(new).await?;
        rig.gone(old).await?;
        ensure!(rig.log().contains("somebody has removed"), "{}", rig.log());
    }
    users.at_work().await?;
    users.satisfied(&rig.platform).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_removed_is_put_back_and_upgrades_go_on() -> Result<()> {
    swept(Tier::Regional, sweep).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_global_tier_too_and_with_the_directory_itself() -> Result<()> {
    swept(Tier::Global, |directory| {
        Ok(std::fs::remove_dir_all(directory)?)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pid_file_alone_that_aged_away_is_written_again() -> Result<()> {
    swept(Tier::Regional, |directory| {
        Ok(std::fs::remove_file(directory.join("pid"))?)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_has_put_there_stays() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "200ms").await?;
    let old = rig.pid()?;
    // At other addresses, from the same directory, by mistake.
    let config = rig.platform.dir().join("other.yaml");
    let text = std::fs::read_to_string(rig.config())?;
    let address = rig.platform.address()?.to_string();
    let admin = rig.platform.replica("r1-a")?.admin().to_string();
    let text = text.replace(&address, "127.0.0.1:0");
    std::fs::write(&config, text.replace(&admin, "127.0.0.1:0"))?;
    // Both look at the same time, so that the second may have to try again.
    let mut other = None;
    for _ in 0..20 {
        sweep(&rig.run_directory())?;
        let launch = Launch::new("other", tools::program("regional-lb")?)
            .args(["run", "--config"])
            .arg(&config);
        let mut process = launch.start()?;
        if process.wait_line("serves on", SOON).await.is_ok() {
            other = Some(process);
            break;
        }
    }
    let mut other = other.ok_or_else(|| anyhow::anyhow!("{}", rig.log()))?;
    eventually(SOON, "a word of the first", async || {
        ensure!(
            rig.log().contains("has taken run_directory"),
            "{}",
            rig.log()
        );
        Ok(())
    })
    .await?;
    ensure!(rig.pid()? == i32::try_from(other.pid())?);
    rig.serves(old).await?;
    ensure!(other.terminate(SOON).await?.success());
    eventually(SOON, "the first one's files", async || {
        ensure!(rig.pid()? == old);
        Ok(())
    })
    .await?;
    rig.upgraded(&["--no-wait"]).await.map(drop)
}
