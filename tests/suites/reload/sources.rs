//! How a file can change: in place, in pieces, by rename, by a symlink's swap; and SIGHUP, which does not wait.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::eventually;
use strata_tests::process::Signal;
use tokio::time::Instant;

use crate::bed::{Bed, LIVE, Plan, SOON, publish};

/// What stands for less time than this is never taken.
const MOMENT: Duration = Duration::from_millis(100);

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

/// The first half of the file is valid, and says that two of three servers are gone.
#[tokio::test]
async fn a_file_that_is_written_in_two_halves_is_taken_whole() -> Result<()> {
    let mut bed = Bed::start(3).await?;
    let (mut caught, mut weight) = (0, 1);
    while caught < 5 {
        weight += 1;
        ensure!(weight < 100, "only {caught} halves were seen in time");
        let before = bed.generation().await?;
        let text = bed.text(&Plan::of(3).with(&[(0, weight), (1, weight), (2, weight)]));
        let cut = text
            .find("      - { name: s2")
            .context("no second server")?;
        let (half, rest) = text.split_at(cut);
        let sights = sights(&bed);
        let start = Instant::now();
        bed.write(half)?;
        bed.process.signal(Signal::SIGHUP)?;
        let seen = until(MOMENT, || sights < self::sights(&bed)).await;
        // Time is the matter here: the half stands for a while, yet not for long enough.
        tokio::time::sleep(MOMENT / 3).await;
        let mut file = std::fs::File::options().append(true).open(&bed.file)?;
        file.write_all(rest.as_bytes())?;
        drop(file);
        // A half that stood for too long, or that nobody looked at, shows nothing.
        let was_quick = start.elapsed() < MOMENT;
        eventually(SOON, "the whole file", async || {
            let shown = bed.endpoint("s3").await?;
            ensure!(shown["weight"] == weight, "{shown}");
            Ok(())
        })
        .await?;
        if seen && was_quick {
            caught += 1;
            let generations = bed.generation().await? - before;
            ensure!(generations == 1, "the half was applied: {generations}");
        }
    }
    Ok(())
}

/// How often a change was seen that had to settle.
fn sights(bed: &Bed) -> usize {
    let output = bed.process.output();
    output.matches("the configuration has changed").count()
}

/// Whether `condition` came true within `span`; looks more often than `eventually` does.
async fn until(span: Duration, condition: impl Fn() -> bool) -> bool {
    let end = Instant::now() + span;
    while !condition() {
        if Instant::now() >= end {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    true
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
    // The looks are half a second apart: ten in a row without the signal would take about 3.5 s. Each takes
    // 100 ms, in which the file must stay as it is.
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
        start.elapsed() < Duration::from_millis(2_200),
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
