//! Disks that are damaged, full or somebody else's.

use anyhow::{Result, ensure};
use strata_tests::disk::Disk;
use strata_tests::eventually;

use crate::bed::{Plan, SOON, draft};

fn alone(state: &str) -> Plan {
    Plan {
        replicas: 1,
        state: state.to_owned(),
        ..Plan::default()
    }
}

#[tokio::test]
async fn of_a_damaged_file_the_previous_copy_is_used_and_said_aloud() -> Result<()> {
    let mut bed = alone("directory: \"@\"").start().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    bed.order(0, &draft("r2", "drain"), 200).await?;
    bed.replica(0).kill();
    let (file, text) = (bed.file(0), std::fs::read(bed.file(0))?);
    // A torn write.
    std::fs::write(&file, &text[..text.len() / 2])?;
    bed.replica(0).restart().await?;
    ensure!(
        bed.knows(0, "r1").await?.as_deref() == Some("drain"),
        "the previous copy"
    );
    ensure!(
        bed.knows(0, "r2").await?.is_none(),
        "it was written once after"
    );
    let status = bed.status(0).await?;
    ensure!(
        status["faults"].to_string().contains("is damaged"),
        "{status}"
    );
    ensure!(status["durable"] == true, "{status}");
    let log = bed.replica(0).output();
    ensure!(log.contains("is damaged (it ends too soon)"), "{log}");
    ensure!(
        file.with_extension("json.damaged").exists(),
        "kept for people"
    );
    ensure!(
        bed.platform.globals[0]
            .metric("lb_state_faults", &[])
            .await?
            > 0.0
    );
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_said_aloud_and_changes_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let disk = Disk::mount(dir.path())?;
    let state = format!("directory: \"{}\"", disk.path().join("g1").display());
    let bed = alone(&state).start().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    disk.fill();
    let refused = bed.order(0, &draft("r2", "drain"), 503).await?;
    let error = refused["error"].as_str().unwrap_or_default();
    ensure!(
        error.contains("orders.json") && error.contains("make room"),
        "{refused}"
    );
    ensure!(
        bed.knows(0, "r1").await?.as_deref() == Some("drain"),
        "still in force"
    );
    ensure!(bed.knows(0, "r2").await?.is_none(), "refused is refused");
    eventually(SOON, "the gauge", async || {
        let durable = bed.platform.globals[0]
            .metric("lb_state_durable", &[])
            .await?;
        ensure!(durable == 0.0, "{durable}");
        Ok(())
    })
    .await?;
    disk.clear()?;
    eventually(SOON, "a disk that is written again", async || {
        ensure!(bed.status(0).await?["durable"] == true);
        Ok(())
    })
    .await?;
    bed.order(0, &draft("r2", "drain"), 200).await?;
    Ok(())
}

#[tokio::test]
async fn with_a_full_disk_an_order_holds_when_a_peer_has_it_on_its_own() -> Result<()> {
    let bed = Plan {
        replicas: 2,
        ..Plan::default()
    }
    .start()
    .await?;
    bed.acquainted().await?;
    // The directory of the first is replaced by the full disk while it runs.
    let disk = Disk::mount(&bed.dir.path().join("g1"))?;
    disk.fill();
    let receipt = bed.order(0, &draft("r1", "drain"), 200).await?;
    ensure!(receipt["durable"] == false, "{receipt}");
    let note = receipt["note"].as_str().unwrap_or_default();
    ensure!(note.contains("make room"), "{receipt}");
    ensure!(receipt["peers"][0]["durable"] == true, "{receipt}");
    ensure!(bed.knows(1, "r1").await?.as_deref() == Some("drain"));
    Ok(())
}

#[tokio::test]
async fn two_replicas_with_one_directory_are_told_so() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let plan = Plan {
        replicas: 2,
        state: format!("directory: \"{}\"", dir.path().display()),
        ..Plan::default()
    };
    let mut bed = plan.start().await?;
    // Whoever was first has it.
    let first = usize::from(bed.status(1).await?["durable"] == true);
    let second = 1 - first;
    let status = bed.status(second).await?;
    let faults = status["faults"].to_string();
    ensure!(faults.contains("a directory of its own"), "{status}");
    ensure!(status["durable"] == false, "{status}");
    // As at an upgrade: the other one leaves, and what it wrote last is not lost.
    bed.order(first, &draft("r1", "drain"), 200).await?;
    bed.replica(first).kill();
    eventually(SOON, "the directory for itself", async || {
        let status = bed.status(second).await?;
        ensure!(status["durable"] == true, "{status}");
        Ok(())
    })
    .await?;
    bed.replica(second).restart().await?;
    ensure!(bed.knows(second, "r1").await?.as_deref() == Some("drain"));
    Ok(())
}

#[tokio::test]
async fn without_a_directory_orders_are_kept_in_memory_and_that_is_told() -> Result<()> {
    let mut bed = alone("store: embedded").start().await?;
    let receipt = bed.order(0, &draft("r1", "drain"), 200).await?;
    ensure!(receipt["durable"] == false, "{receipt}");
    let note = receipt["note"].to_string();
    ensure!(note.contains("no state.directory"), "{receipt}");
    let log = bed.replica(0).output();
    ensure!(log.contains("no state.directory is configured"), "{log}");
    bed.replica(0).restart().await?;
    ensure!(
        bed.knows(0, "r1").await?.is_none(),
        "the control: nothing brings it back"
    );
    Ok(())
}
