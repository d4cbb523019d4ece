//! systemd's watchdog: a unit with `WatchdogSec=` is restarted when its main process falls silent.
//!
//! # Problem
//! A process that hangs (a lock, a loop without end, a stopped thread) still has its listeners: connections are taken by the kernel and
//! never answered. On Kubernetes `/livez` finds that; on a machine nobody asks.
//!
//! # Choice
//! `WATCHDOG=1` (sd_notify(3)) is sent from the main thread, and only while all event loops turn, by the pulse that `/livez` tells. So a
//! hanging main thread is found as well as a hanging event loop. It is sent six times in a period: a loop that stands still for a
//! moment costs one of them, and nothing more.
//!
//! In an upgrade the process feeds that systemd takes for the service: the predecessor until it has given the main pid away, the
//! successor from then on. If both fed, systemd could not tell which one hangs, as it takes the message from any process of the unit.
//! A successor that hangs on its probation is found by its predecessor, in less time.
//!
//! `WATCHDOG_PID` names the process that systemd started. A successor has the environment of its predecessor, and with it that pid: it
//! does not look at it.
//!
//! # Limits
//! The threads of the admin listener and of probes are not watched, as they aren't by `/livez`.

use crate::clock;
use crate::handover::Journal;
use crate::handover::notify::Supervisor;
use crate::worker::Shared;
use lb_core::status::HandoverPhase;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Messages in a period.
const TIMES: u32 = 6;
/// The shortest pause between two of them.
const SHORTEST: Duration = Duration::from_millis(50);

/// Feeds the watchdog of this process's unit for as long as the process lives; does nothing where there is none.
pub(crate) fn start(shared: &Arc<Shared>, journal: &Arc<Journal>, is_successor: bool) {
    let supervisor = Supervisor::from_env();
    let variable = |name: &str| std::env::var(name).ok();
    let me = std::process::id();
    let (limit, owner) = (variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
    let owner = owner.filter(|_| !is_successor);
    let Some(pause) = pause(limit.as_deref(), owner.as_deref(), me) else {
        return;
    };
    if !supervisor.is_there() {
        return;
    }
    let (shared, journal) = (shared.clone(), journal.clone());
    let is_due = move || is_ours(journal.read().phase) && shared.pulse.is_alive(clock::now());
    tokio::spawn(feed(supervisor, pause, is_due));
}

async fn feed(supervisor: Supervisor, pause: Duration, is_due: impl Fn() -> bool) {
    let mut ticks = tokio::time::interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if is_due() {
            supervisor.alive();
        }
    }
}

/// The pause between two messages: none where the unit has no watchdog, or it is another process's.
fn pause(limit: Option<&str>, owner: Option<&str>, me: u32) -> Option<Duration> {
    let micros: u64 = limit?.parse().ok().filter(|micros| *micros > 0)?;
    let is_mine = owner.is_none_or(|owner| owner.parse() == Ok(me));
    is_mine.then(|| (Duration::from_micros(micros) / TIMES).max(SHORTEST))
}

/// Whether systemd takes a process in this phase for the service.
const fn is_ours(phase: HandoverPhase) -> bool {
    use HandoverPhase::{Greeted, None, OnProbation, Probation, Retiring, Unknown, Waiting};
    match phase {
        None | Greeted | Probation => true,
        Retiring | Waiting | OnProbation | Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[test]
    fn who_has_no_watchdog_feeds_none() {
        let limit = Some("30000000");
        assert_eq!(pause(limit, Some("7"), 7), Some(Duration::from_secs(5)));
        assert_eq!(pause(limit, None, 7), Some(Duration::from_secs(5)));
        assert_eq!(pause(Some("1"), None, 7), Some(SHORTEST));
        for (limit, owner) in [
            (limit, Some("8")),
            (limit, Some("x")),
            (None, None),
            (Some("0"), None),
            (Some("x"), None),
        ] {
            assert_eq!(pause(limit, owner, 7), None, "{limit:?} {owner:?}");
        }
    }

    #[test]
    fn one_process_of_an_upgrade_feeds_at_a_time() {
        // As predecessor and successor go through it: which of both.
        for (before, after, feeds) in [
            (
                HandoverPhase::Greeted,
                HandoverPhase::Waiting,
                (true, false),
            ),
            (
                HandoverPhase::Probation,
                HandoverPhase::OnProbation,
                (true, false),
            ),
            (HandoverPhase::Retiring, HandoverPhase::None, (false, true)),
        ] {
            assert_eq!((is_ours(before), is_ours(after)), feeds, "{before:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_fed_while_the_loops_turn_and_not_when_one_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        heard.set_nonblocking(true).unwrap();
        let count = || {
            let mut bytes = [0; 64];
            let mut count = 0;
            while let Ok(length) = heard.recv(&mut bytes) {
                assert_eq!(&bytes[..length], b"WATCHDOG=1");
                count += 1;
            }
            count
        };
        let turns = Arc::new(AtomicBool::new(true));
        let is_due = {
            let turns = turns.clone();
            move || turns.load(Relaxed)
        };
        let supervisor = Supervisor::at(Some(path.into()));
        tokio::spawn(feed(supervisor, Duration::from_secs(5), is_due));
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert_eq!(count(), 7);
        turns.store(false, Relaxed);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(count(), 0);
        turns.store(true, Relaxed);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(count(), 1);
    }
}
