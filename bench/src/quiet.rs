//! Patience with noisy neighbours.
//!
//! Problem: the two cores of a small machine are often shared, and another process's work on them
//! changes what is measured, not only its spread: a proxy that is interrupted finds fewer events per
//! wake-up and colder caches. Here a compiler beside it made Envoy twice as dear per request and
//! HAProxy a tenth, so ratios move too. Choice: wait for a quiet moment, and repeat a window that
//! was disturbed, keeping the quietest. The extra time of a whole run is bounded; when it is used
//! up, windows are taken as they come and the report names the rows that suffered. Rejected:
//! dropping disturbed samples, which on a busy machine leaves none.

use std::time::Duration;

use crate::clock;
use crate::interrupt::Interrupt;
use crate::measure::Cost;
use crate::procfs;

/// Foreign work above this share of one CPU makes a window doubtful.
pub(crate) const FOREIGN_LIMIT: f64 = 0.10;
/// How often a window is measured at most.
const TRIES: usize = 4;
/// How long the machine must have been quiet.
const LOOK: Duration = Duration::from_millis(300);

/// What is left of the extra time of a run.
pub(crate) struct Patience {
    left: Duration,
    look: Duration,
}

// === impl Patience ===

impl Patience {
    /// Allows `total` of waiting and of repeated windows, over the whole run.
    pub(crate) fn new(total: Duration) -> Self {
        Self {
            left: total,
            look: LOOK,
        }
    }

    /// Runs `attempt` when the machine is quiet, and again while it was disturbed; returns the try
    /// with the least foreign work.
    pub(crate) fn quietest<T>(
        &mut self,
        interrupt: &Interrupt,
        mut attempt: impl FnMut() -> anyhow::Result<(T, Cost)>,
    ) -> anyhow::Result<(T, Cost)> {
        self.await_quiet(interrupt)?;
        let mut best = attempt()?;
        for _ in 1..TRIES {
            if best.1.foreign_share() <= FOREIGN_LIMIT || self.left.is_zero() {
                break;
            }
            self.await_quiet(interrupt)?;
            let begin = clock::now();
            let next = attempt()?;
            self.spend(clock::now().saturating_duration_since(begin));
            if next.1.foreign_share() < best.1.foreign_share() {
                best = next;
            }
        }
        Ok(best)
    }

    /// Returns when the whole machine did next to nothing for a moment, or the patience is used up.
    fn await_quiet(&mut self, interrupt: &Interrupt) -> anyhow::Result<()> {
        while !self.left.is_zero() {
            let begin = clock::now();
            let before = procfs::busy_time();
            interrupt.wait(self.look)?;
            let busy = procfs::busy_time().saturating_sub(before);
            if busy.as_secs_f64() <= FOREIGN_LIMIT * self.look.as_secs_f64() {
                break;
            }
            self.spend(clock::now().saturating_duration_since(begin));
        }
        Ok(())
    }

    fn spend(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(foreign_s: f64) -> Cost {
        Cost {
            proxy_s: 0.5,
            load_s: 0.5,
            foreign_s,
            wall_s: 1.0,
        }
    }

    #[test]
    fn the_quietest_of_the_tries_is_kept_and_their_number_is_bounded() {
        let mut foreign = [0.9, 0.3, 0.7, 0.5, 0.0].into_iter();
        let mut patience = Patience::new(Duration::from_secs(3600));
        patience.look = Duration::ZERO;
        let taken = patience.quietest(&Interrupt::default(), || {
            Ok(((), cost(foreign.next().unwrap())))
        });
        assert_eq!(taken.unwrap().1.foreign_s, 0.3);
        assert_eq!(foreign.next(), Some(0.0), "measured too often");
    }

    #[test]
    fn without_patience_the_first_try_is_taken() {
        let mut patience = Patience::new(Duration::ZERO);
        let taken = patience
            .quietest(&Interrupt::default(), || Ok(((), cost(0.9))))
            .unwrap();
        assert_eq!(taken.1.foreign_s, 0.9);
    }
}
