//! Waiting for conditions instead of for time.
//!
//! A test that sleeps is either slow or flaky. [`eventually`] asks again until the answer is yes or the deadline has
//! passed, and then says what it saw last: "not yet" without a reason costs the reader a debugging session.
//! [`steadily`] is the opposite: a condition that must not break for a while, where time is the matter of the test.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks `check` until it returns `Ok`, and gives back its value.
///
/// The pause between two tries grows from 2 ms to 50 ms; a try that hangs is cut off at the deadline.
///
/// # Errors
///
/// After `deadline`: names `what`, the number of tries and the last error of `check`.
pub async fn eventually<T, F>(deadline: Duration, what: &str, mut check: F) -> Result<T>
where
    F: AsyncFnMut() -> Result<T>,
{
    let end = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    let mut tries = 0_u32;
    let mut last: Option<anyhow::Error> = None;
    loop {
        tries += 1;
        match timeout_at(end, check()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = Some(seen),
            Err(_) => {
                let seen = last.map_or_else(String::new, |e| format!("; before that: {e:#}"));
                bail!("{what}: not within {deadline:?}; try {tries} still hung{seen}");
            }
        }
        if Instant::now() + pause >= end {
            let seen = last.map_or_else(|| "nothing".to_owned(), |e| format!("{e:#}"));
            bail!("{what}: not within {deadline:?} ({tries} tries); last seen: {seen}");
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Asks `check` every 20 ms for the whole of `span`; the first error ends it.
///
/// # Errors
///
/// The first error of `check`, with the time at which it came.
pub async fn steadily<F>(span: Duration, what: &str, mut check: F) -> Result<()>
where
    F: AsyncFnMut() -> Result<()>,
{
    let start = Instant::now();
    while start.elapsed() < span {
        check()
            .await
            .with_context(|| format!("{what}: broken after {:?} of {span:?}", start.elapsed()))?;
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
