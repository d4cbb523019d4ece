//! When changed content is taken: when it has stayed the same for a moment.
//!
//! **Problem.** A file that is written in place passes through states that nobody meant, and a YAML file cut
//! after some servers is a valid one with fewer servers. An editor, `scp` and `cat >` all write so.
//!
//! **Choice.** New content is taken at its second sight, [`CONFIRM`] after the first at the earliest; whatever
//! differs in between starts anew. Contents are compared, as times of modification are too coarse on some
//! file systems and kept by some copies. Rejected: inotify's close event, which network file systems and
//! symlink swaps don't bring.
//!
//! **Limit.** A writer that pauses for longer than that, in the middle of the file, is not told from one that
//! has finished. Who can't rule that out writes elsewhere and renames.

use lb_core::time::Instant;
use std::time::Duration;

/// How long content must have stayed the same.
pub(super) const CONFIRM: Duration = Duration::from_millis(100);

/// Follows the content of a file, or of several as one, by its hash.
#[derive(Debug)]
pub(super) struct Settle {
    taken: String,
    sighted: Option<(String, Instant)>,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// What was taken last.
    Same,
    /// Something new: look again after [`CONFIRM`].
    Sighted,
    /// The new content again, but too early: look again.
    Early,
    /// The new content, which has stayed: it counts as taken now.
    Settled,
}

// === impl Settle ===

impl Settle {
    /// `taken` is what is in use already.
    pub(super) fn new(taken: String) -> Self {
        Self {
            taken,
            sighted: None,
        }
    }

    /// Takes in what is there now.
    pub(super) fn look(&mut self, found: String, now: Instant) -> Look {
        if found == self.taken {
            self.sighted = None;
            return Look::Same;
        }
        match self.sighted.take() {
            Some((sighted, since)) if sighted == found => {
                if now.since(since) >= CONFIRM {
                    self.taken = found;
                    Look::Settled
                } else {
                    self.sighted = Some((sighted, since));
                    Look::Early
                }
            }
            _ => {
                self.sighted = Some((found, now));
                Look::Sighted
            }
        }
    }
}

// === impl Look ===

impl Look {
    /// Whether the next regular look would be late.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Sighted | Self::Early)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(sights: &[(&str, u64)]) -> Vec<Look> {
        let mut settle = Settle::new("old".to_owned());
        let mut look = |(found, millis): &(&str, u64)| {
            settle.look((*found).to_owned(), Instant::from_millis(*millis))
        };
        sights.iter().map(&mut look).collect()
    }

    #[test]
    fn content_is_taken_at_its_second_sight() {
        let seen = looks(&[("old", 0), ("new", 500), ("new", 600), ("new", 1_100)]);
        let expected = [Look::Same, Look::Sighted, Look::Settled, Look::Same];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_second_sight_that_is_too_early_does_not_count() {
        let seen = looks(&[("new", 500), ("new", 550), ("new", 599), ("new", 600)]);
        let expected = [Look::Sighted, Look::Early, Look::Early, Look::Settled];
        assert_eq!(seen, expected, "the time runs from the first sight");
    }

    #[test]
    fn content_that_changes_in_between_starts_anew() {
        let seen = looks(&[("half", 500), ("new", 600), ("new", 650), ("new", 700)]);
        let expected = [Look::Sighted, Look::Sighted, Look::Early, Look::Settled];
        assert_eq!(seen, expected, "the half is never taken");
        let seen = looks(&[("half", 500), ("old", 600), ("half", 700), ("old", 800)]);
        let expected = [Look::Sighted, Look::Same, Look::Sighted, Look::Same];
        assert_eq!(seen, expected, "what went away in between has not stayed");
    }
}
