//! Everything that can be wrong with a successor. The old process serves on, and no request fails.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use strata_tests::eventually;
use strata_tests::process::Launch;
use strata_tests::tools;
use strata_tests::topology::Tier;

use crate::fake::Fake;
use crate::requests::Requests;
use crate::rig::{Rig, SOON, plan, rewrite};

const LONG: Duration = Duration::from_secs(60);
const BOTH: [Tier; 2] = [Tier::Regional, Tier::Global];

/// Plays `drill` under load; no request may fail, and the old process has to be able to hand over afterwards.
async fn drilled<F>(probation: &str, drill: F) -> Result<()>
where
    F: AsyncFnOnce(&mut Rig) -> Result<()>,
{
    drilled_at(Tier::Regional, probation, drill).await
}

async fn drilled_at<F>(tier: Tier, probation: &str, drill: F) -> Result<()>
where
    F: AsyncFnOnce(&mut Rig) -> Result<()>,
{
    let mut rig = Rig::start(tier, probation).await?;
    let users = Requests::start(rig.platform.address()?)?;
    users.at_work().await?;
    let pid = rig.pid()?;
    drill(&mut rig).await?;
    rig.serves(pid).await?;
    users.at_work().await?;
    let next = rig.upgraded(&["--no-wait"]).await?;
    rig.serves(next).await?;
    users.at_work().await?;
    users.satisfied(&rig.platform).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_binary_that_crashes_changes_nothing() -> Result<()> {
    for tier in BOTH {
        drilled_at(tier, "200ms", async |rig| {
            let binary = rig.impostor("exit 7")?;
            rig.refused(&["--binary", &binary], 1, "ended").await?;
            let binary = rig.impostor("kill -SEGV $$")?;
            rig.refused(&["--binary", &binary], 1, "ended").await?;
            let missing = ["--binary", "/no/such/program"];
            rig.refused(&missing, 1, "there is no").await
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_binary_that_hangs_is_ended() -> Result<()> {
    for tier in BOTH {
        drilled_at(tier, "200ms", async |rig| {
            let binary = rig.impostor("exec sleep 600")?;
            let more = ["--binary", &binary, "--ready-timeout", "1s"];
            rig.refused(&more, 5, "did not say hello").await
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_configuration_starts_nothing() -> Result<()> {
    for tier in BOTH {
        drilled_at(tier, "200ms", async |rig| {
            let bad = rig.platform.dir().join("bad.yaml");
            let text = std::fs::read_to_string(rig.config())?;
            std::fs::write(&bad, text.replace("listeners:", "lissteners:"))?;
            let bad = bad.display().to_string();
            rig.refused(&["--config", &bad], 3, "lissteners").await?;
            // Good by itself, but its port is somebody else's.
            let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
            let clash = rig.platform.dir().join("clash.yaml");
            let more = format!(
                "listeners:\n  - {{ name: more, address: \"{}\" }}",
                taken.local_addr()?
            );
            let text = std::fs::read_to_string(rig.config())?;
            std::fs::write(&clash, text.replace("listeners:", &more))?;
            let clash = clash.display().to_string();
            rig.refused(&["--config", &clash], 1, "ended").await?;
            ensure!(rig.log().contains("another process serves there"));
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_after_its_hello_is_given_up() -> Result<()> {
    drilled("200ms", async |rig| {
        let directory = rig.run_directory();
        let (mut fake, _) = Fake::greeted(&directory, Duration::from_millis(500)).await?;
        let answer = fake.hear().await?;
        ensure!(answer["say"] == "refused", "{answer}");
        fake.closed().await?;
        // And one that says nothing at all.
        Fake::connect(&directory).await?.closed().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_dies_with_the_sockets_takes_nothing_along() -> Result<()> {
    drilled("200ms", async |rig| {
        for _ in 0..5 {
            let (fake, _) = Fake::greeted(&rig.run_directory(), LONG).await?;
            drop(fake);
            eventually(SOON, "the end of the attempt", async || {
                let state = rig.handover().await?;
                ensure!(state["phase"] == "none", "{state}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_dies_right_after_the_commit_is_replaced_by_the_old() -> Result<()> {
    drilled("5s", async |rig| {
        for took in [true, false] {
            let (mut fake, ids) = Fake::greeted(&rig.run_directory(), LONG).await?;
            fake.say(&json!({ "say": "ready", "taken": ids })).await?;
            let answer = fake.hear().await?;
            ensure!(answer["say"] == "commit", "{answer}");
            if took {
                fake.say(&json!({ "say": "took" })).await?;
                // Nobody accepts now: connections wait in the kernel.
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            drop(fake);
            eventually(SOON, "the old process", async || {
                let state = rig.handover().await?;
                ensure!(state["phase"] == "none", "{state}");
                ensure!(state["last"]["ok"] == false, "{state}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_freezes_at_the_commit_is_told_to_end() -> Result<()> {
    drilled("5s", async |rig| {
        let (mut fake, ids) = Fake::greeted(&rig.run_directory(), LONG).await?;
        fake.say(&json!({ "say": "ready", "taken": ids })).await?;
        let answer = fake.hear().await?;
        ensure!(answer["say"] == "commit", "{answer}");
        let answer = fake.hear().await?;
        ensure!(answer["say"] == "resumed", "{answer}");
        fake.closed().await
    })
    .await
}

/// Replaces a real successor by the old process, under load. What it had accepted is lost with it, and nothing else.
async fn rolled_back(tier: Tier, signal: Signal, words: &[&str]) -> Result<()> {
    let mut rig = Rig::start(tier, "30s").await?;
    let old = rig.pid()?;
    let during = Requests::start(rig.platform.address()?)?;
    during.at_work().await?;
    let (mut lbctl, new) = on_probation(&mut rig, old).await?;
    rig.signal(new, signal)?;
    let status = lbctl.wait_exit(SOON).await?;
    let told = lbctl.output();
    ensure!(status.code() == Some(1), "{status}: {told}");
    for words in words {
        ensure!(told.contains(words), "{words}: {told}");
    }
    rig.gone(new).await?;
    ensure!(rig.pid()? == old);
    rig.serves(old).await?;
    during.at_work().await?;
    let (sent, reports) = during.end().await?;
    let failed: u64 = reports.iter().map(|report| report.failed).sum();
    // One that hangs keeps its connections, and those who ask on them, until it is ended.
    ensure!(
        signal == Signal::SIGSTOP || failed * 4 < sent,
        "{failed} of {sent}"
    );
    let after = Requests::start(rig.platform.address()?)?;
    after.at_work().await?;
    after.satisfied(&rig.platform).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_one_that_is_killed_in_its_probation_is_replaced_by_the_old() -> Result<()> {
    for tier in BOTH {
        rolled_back(tier, Signal::SIGKILL, &["rolled back"]).await?;
    }
    Ok(())
}

/// A successor, some moments before it will have proved itself.
pub(crate) async fn on_probation(
    rig: &mut Rig,
    old: i32,
) -> Result<(strata_tests::process::Process, i32)> {
    let lbctl = Launch::new("lbctl", tools::program("lbctl")?)
        .args(["upgrade", "--run-directory"])
        .arg(rig.run_directory());
    let lbctl = lbctl.start()?;
    let new = eventually(SOON, "the successor", async || {
        let pid = rig.pid()?;
        ensure!(pid != old && rig.status().await?["pid"] == pid);
        Ok(pid)
    })
    .await?;
    Ok((lbctl, new))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_in_its_probation_is_replaced_by_the_old() -> Result<()> {
    for tier in BOTH {
        let words = ["rolled back", "hangs", "no sign of life", "was ended"];
        rolled_back(tier, Signal::SIGSTOP, &words).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_and_wakes_leaves() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "30s").await?;
    let old = rig.pid()?;
    let (mut lbctl, new) = on_probation(&mut rig, old).await?;
    // Nobody is there to end it.
    lbctl.kill();
    rig.signal(new, Signal::SIGSTOP)?;
    eventually(SOON, "the old process", async || {
        ensure!(rig.pid()? == old, "{}", rig.log());
        rig.serves(old).await
    })
    .await?;
    let users = Requests::start(rig.platform.address()?)?;
    users.at_work().await?;
    rig.signal(new, Signal::SIGCONT)?;
    rig.gone(new).await?;
    rig.serves(old).await?;
    users.at_work().await?;
    users.satisfied(&rig.platform).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_the_start_is_told_with_its_status() -> Result<()> {
    let rig = Rig::start(Tier::Regional, "200ms").await?;
    let binary = rig.impostor("exit 7")?;
    let more = ["--binary", &binary];
    rig.refused(&more, 1, "ended (exit status: 7)").await?;
    let binary = rig.impostor("kill -SEGV $$")?;
    let more = ["--binary", &binary];
    rig.refused(&more, 1, "ended (signal: 11 (SIGSEGV)").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_lbctl_does_not_end_the_upgrade() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "5s").await?;
    let old = rig.pid()?;
    let (mut lbctl, new) = on_probation(&mut rig, old).await?;
    let stat = std::fs::read_to_string(format!("/proc/{new}/status"))?;
    let own = format!("PPid:\t{}\n", lbctl.pid());
    ensure!(!stat.contains(&own), "it is nobody's in particular: {stat}");
    lbctl.kill();
    rig.gone(old).await?;
    rig.serves(new).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_one_upgrade_at_a_time() -> Result<()> {
    drilled("200ms", async |rig| {
        let (first, _) = Fake::greeted(&rig.run_directory(), LONG).await?;
        rig.refused(&[], 1, "under way").await?;
        let mut second = Fake::connect(&rig.run_directory()).await?;
        second.hello(1, LONG).await?;
        let answer = second.hear().await?;
        ensure!(answer["say"] == "refused", "{answer}");
        ensure!(answer["reason"].to_string().contains("another"), "{answer}");
        drop(first);
        eventually(SOON, "the end of the first", async || {
            ensure!(rig.handover().await?["phase"] == "none");
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_of_the_hand_over_is_refused_with_a_reason() -> Result<()> {
    drilled("200ms", async |rig| {
        let mut fake = Fake::connect(&rig.run_directory()).await?;
        fake.hello(2, LONG).await?;
        let answer = fake.hear().await?;
        ensure!(answer["say"] == "refused", "{answer}");
        ensure!(
            answer["reason"].to_string().contains("version 2"),
            "{answer}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_not_as_it_should_be_is_refused() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "200ms").await?;
    let pid = rig.pid()?;
    let directory = rig.run_directory();
    let mode = |mode| std::fs::set_permissions(&directory, PermissionsExt::from_mode(mode));
    mode(0o755)?;
    rig.refused(&[], 1, "0700").await?;
    let program = tools::program("regional-lb")?;
    let start = || {
        let launch = Launch::new("second", &program).args(["run", "--config"]);
        launch.arg(rig.config()).run(SOON)
    };
    let (status, output) = start().await?;
    ensure!(
        !status.success() && output.contains("chmod 700"),
        "{output}"
    );
    mode(0o700)?;
    let (status, output) = start().await?;
    ensure!(
        !status.success() && output.contains("use `lbctl upgrade`"),
        "a second process: {output}"
    );
    rig.serves(pid).await?;
    rig.platform.replica("r1-a")?.kill();
    rig.refused(&[], 6, "dead").await?;
    rig.platform.replica("r1-a")?.restart().await?;
    ensure!(rig.pid()? != pid, "what the dead one left is cleared away");
    rig.upgraded(&["--no-wait"]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_told_to_end_hands_nothing_over() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "200ms").await?;
    let (mut fake, _) = Fake::greeted(&rig.run_directory(), LONG).await?;
    let replica = rig.platform.replica("r1-a")?;
    replica.signal(Signal::SIGTERM)?;
    let answer = fake.hear().await?;
    ensure!(answer["say"] == "leaving", "{answer}");
    let status = replica.process()?.wait_exit(SOON).await?;
    ensure!(status.success(), "{status}");
    ensure!(!rig.run_directory().join("pid").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_is_told_to_end_ends_for_good() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "30s").await?;
    let old = rig.pid()?;
    let (_lbctl, new) = on_probation(&mut rig, old).await?;
    rig.signal(new, Signal::SIGTERM)?;
    rig.gone(new).await?;
    let address = rig.platform.address()?;
    eventually(SOON, "a closed address", async || {
        ensure!(strata_tests::http::get(address, "/").await.is_err());
        Ok(())
    })
    .await?;
    ensure!(!rig.log().contains("serves again"), "{}", rig.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_run_directory_there_is_no_upgrade() -> Result<()> {
    let topology = plan(Tier::Regional, "200ms").tune_regional(|file| {
        file.extra = "threads: 2\n".to_owned();
    });
    let mut rig = Rig::of(Tier::Regional, topology).await?;
    let verdict = rig.upgrade(&[]).await?;
    ensure!(verdict.status.code() == Some(6), "{verdict:?}");
    ensure!(verdict.output.contains("run_directory"), "{verdict:?}");
    let state = rig.handover().await?;
    ensure!(state["directory"].is_null(), "{state}");
    rewrite(&rig.config(), |text| text + "run_directory: r1-a.run\n")?;
    eventually(SOON, "the note that it needs a restart", async || {
        let status = rig.status().await?;
        let deferred = status["config"]["deferred"].to_string();
        ensure!(deferred.contains("run_directory"), "{deferred}");
        Ok(())
    })
    .await
}
