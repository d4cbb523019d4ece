//! How a file can change: in place, by rename, by a symlink's swap; and SIGHUP, which does not wait.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::process::Signal;
use tokio::time::Instant;

use crate::bed::{Bed, LIVE, Plan, publish};

#[tokio::test]
async fn a_file_written_in_place_is_live_within_a_second() -> Result<()> {
    let bed = Bed::start(2).await?;
    for round in 0..3 {
        let before = bed.generation().await?;
        let start = Instant::now();
        bed.write(bed.text(&Plan::of(2).with(&[(round % 2, 1)])))?;
        bed.generation_after(before).await?;
        ensure!(start.elapsed() <= LIVE, "{:?}", start.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn a_renamed_file_is_live_within_a_second() -> Result<()> {
    let bed = Bed::start(2).await?;
    let took = bed.reload(&Plan::of(2).with(&[(1, 1)])).await?;
    ensure!(took <= LIVE, "{took:?}");
    Ok(())
}

#[tokio::test]
async fn a_config_map_that_is_swapped_is_live_within_a_second() -> Result<()> {
    let bed = Bed::start_with(2, &Plan::of(2), "config/lb.yaml").await?;
    for (round, version) in ["2", "3"].into_iter().enumerate() {
        let before = bed.generation().await?;
        let start = Instant::now();
        let text = bed.text(&Plan::of(2).with(&[(round, 1)]));
        publish(&bed.file, version, &text)?;
        bed.generation_after(before).await?;
        ensure!(start.elapsed() <= LIVE, "{:?}", start.elapsed());
        let answer = strata_tests::http::get(bed.address, "/").await?;
        ensure!(
            answer.header("x-served-by") == format!("s{}", round + 1),
            "{answer:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn sighup_does_not_wait_for_the_next_look() -> Result<()> {
    let mut bed = Bed::start(2).await?;
    let mut slowest = Duration::ZERO;
    // The looks are half a second apart: ten in a row without the signal would take about 2.5 s.
    let start = Instant::now();
    for round in 0..10 {
        let before = bed.generation().await?;
        bed.replace(&bed.text(&Plan::of(2).with(&[(round % 2, 1)])))?;
        let asked = Instant::now();
        bed.process.signal(Signal::SIGHUP)?;
        bed.generation_after(before).await?;
        slowest = slowest.max(asked.elapsed());
    }
    ensure!(
        start.elapsed() < Duration::from_millis(1_500),
        "{:?}, slowest {slowest:?}",
        start.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_touched_or_written_alike_changes_nothing() -> Result<()> {
    let mut bed = Bed::start(1).await?;
    let before = bed.generation().await?;
    bed.write(bed.text(&Plan::of(1)))?;
    bed.process.signal(Signal::SIGHUP)?;
    // A real change after it shows that the rewrite has been looked at.
    bed.process.wait_line("SIGHUP", crate::bed::SOON).await?;
    bed.reload(&Plan::of(1).with(&[(0, 2)])).await?;
    ensure!(
        bed.generation().await? == before + 1,
        "{}",
        bed.status().await?
    );
    Ok(())
}
