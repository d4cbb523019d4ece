//! The loop that probes one endpoint for as long as it is configured.
//!
//! Pauses count from the start of one probe to the start of the next, so that slow answers don't thin
//! the checks out; a probe that took longer than its pause is followed by the next at once. None is
//! skipped and no two overlap. The loop owns the check's state and gives it back when it is told to
//! stop, so that a reload goes on where it left off.

use super::Probe;
use lb_core::health::{CheckState, LastProbe, Transition, Verdict};
use lb_core::time::Instant;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::future::Future;
use std::pin::pin;

/// A check after a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckSnapshot {
    /// The verdict.
    pub verdict: Verdict,
    /// Results in a row that speak against it.
    pub streak: u32,
    /// When it last changed.
    pub since: Option<Instant>,
    /// The probe just done.
    pub last: LastProbe,
    /// The change of the verdict, if this probe brought one.
    pub transition: Option<Transition>,
}

/// Probes until `stop` is ready, and returns the state then. `on_change` is called after each probe, from this task.
///
/// `clock` gives the time that the state keeps; the pauses are tokio's. `seed` seeds the jitter: give each endpoint
/// its own, or all are probed in step. Dropping the future stops as well, but loses the state.
pub async fn run<P, F>(
    prober: P,
    mut state: CheckState,
    clock: fn() -> Instant,
    seed: u64,
    on_change: F,
    stop: impl Future<Output = ()> + Send,
) -> CheckState
where
    P: Probe,
    F: Fn(CheckSnapshot) + Send,
{
    let mut stop = pin!(stop);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut due = tokio::time::Instant::now() + state.first_probe_in(&mut rng);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return state,
            () = tokio::time::sleep_until(due) => {}
        }
        let started = tokio::time::Instant::now();
        let result = tokio::select! {
            biased;
            () = &mut stop => return state,
            result = prober.probe() => result,
        };
        let now = clock();
        let transition = state.on_probe(result, now);
        on_change(CheckSnapshot {
            verdict: state.verdict(),
            streak: state.streak(),
            since: state.since(),
            last: LastProbe { result, at: now },
            transition,
        });
        due = started + state.next_probe_in(&mut rng);
    }
}
