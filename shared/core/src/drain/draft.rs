//! An order that somebody gives: what becomes of it, in view of those that are known.
//!
//! # Choice
//! A draft has no stamps and no version: the replica that takes it gives them, above all that it has seen. It may name the version
//! that its author had in view; when another order came in between, it is refused and the author sees that one. The same again by
//! the same person is no news, so that a command whose answer was lost can be repeated.
//!
//! # Limits
//! Who names no version overwrites; two such at different replicas at one time are settled by their stamps.

use super::{Action, Book, Clock, Record, Rule, Scope, SessionPolicy, Stamp, Unfit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An order as it is given; see [`Record`] for the fields that both have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// What it is about.
    pub scope: Scope,
    /// What is to happen.
    pub action: Action,
    /// Share of its requests that it keeps in the end, in percent, 0 to 100.
    #[serde(default)]
    pub keep_percent: u8,
    /// Share that it keeps now, in percent. It doesn't tell two drafts apart.
    #[serde(default = "all")]
    pub from_percent: u8,
    /// Time until then, in seconds; 0: at once.
    #[serde(default)]
    pub ramp_s: u32,
    /// What happens to users who are bound to it.
    #[serde(default)]
    pub session_policy: SessionPolicy,
    /// How long bound users may stay, in seconds.
    #[serde(default)]
    pub session_grace_s: u32,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
    /// Who.
    pub actor: String,
    /// Where more is written.
    #[serde(default)]
    pub ticket: Option<String>,
    /// When it ends by itself, in milliseconds since 1970; none: never.
    #[serde(default)]
    pub expires_ms: Option<u64>,
    /// Rules that it may break.
    #[serde(default)]
    pub overrides: Vec<Rule>,
    /// The version that the author had in view, 0 for none at all; absent: whatever there is.
    #[serde(default)]
    pub if_version: Option<u64>,
}

/// What becomes of a draft.
#[derive(Debug, Clone, PartialEq)]
pub enum Planned {
    /// It says what is in force already.
    Same(Record),
    /// To be written.
    New(Record),
}

/// What a draft does when the order in force has a stamp too far in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamping {
    /// It is refused: peers would not take its stamp either.
    Bounded,
    /// Its stamp is above that one. For a store that has the last word: all take what it says, and one that can't be corrected would
    /// decide until its time has come.
    Above,
}

/// Why a draft is not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DraftError {
    /// Somebody else was quicker.
    #[error("{scope} is at version {}, and not at {wanted}: look at it and order again", version(.current.as_deref()))]
    Conflict {
        /// The scope.
        scope: Scope,
        /// The version that was wanted.
        wanted: u64,
        /// What is in force; none when nothing is known of the scope.
        current: Option<Box<Record>>,
    },
    /// It can't be right.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It would be over before it begins.
    #[error("{scope}: the order would have ended {ago_ms} ms ago; choose a later end")]
    Over {
        /// The scope.
        scope: Scope,
        /// How long ago, in milliseconds.
        ago_ms: u64,
    },
    /// What is in force was written by a replica whose clock is ahead, and would win.
    #[error(
        "{scope} was ordered {ahead_ms} ms in the future by {replica}: set the clocks (NTP), and try again when that time has come"
    )]
    Ahead {
        /// The scope.
        scope: Scope,
        /// Who wrote it.
        replica: String,
        /// How far it is ahead.
        ahead_ms: u64,
    },
}

const fn all() -> u8 {
    100
}

fn version(record: Option<&Record>) -> u64 {
    record.map_or(0, |record| record.version)
}

// === impl Draft ===

impl Draft {
    /// Decides what becomes of it, and how it is stamped. `wall_ms` is the time since 1970.
    ///
    /// # Errors
    /// [`DraftError`]; the book is never changed.
    pub fn plan(
        &self,
        book: &Book,
        clock: &mut Clock,
        wall_ms: u64,
        stamping: Stamping,
    ) -> Result<Planned, DraftError> {
        let current = book.get(&self.scope);
        // Before the version: who repeats a command names the version from before its first time.
        if let Some(current) = current.filter(|current| self.says(current)) {
            return Ok(Planned::Same(current.clone()));
        }
        if let Some(wanted) = self.if_version.filter(|wanted| *wanted != version(current)) {
            return Err(DraftError::Conflict {
                scope: self.scope.clone(),
                wanted,
                current: current.cloned().map(Box::new),
            });
        }
        let end = self.expires_ms.filter(|_| self.action != Action::Undrain);
        if let Some(ago_ms) = end.and_then(|at| wall_ms.checked_sub(at)) {
            return Err(DraftError::Over {
                scope: self.scope.clone(),
                ago_ms,
            });
        }
        let seen = current.map_or(Ok(()), |current| clock.see(&current.updated, wall_ms));
        let updated = match (seen, current) {
            (Err(_), Some(current)) if stamping == Stamping::Above => clock.above(&current.updated),
            (Err(ahead), _) => {
                return Err(DraftError::Ahead {
                    scope: self.scope.clone(),
                    replica: ahead.replica,
                    ahead_ms: ahead.ahead_ms,
                });
            }
            (Ok(()), _) => clock.give(wall_ms),
        };
        let record = self.record(current, updated, wall_ms);
        book.admits(&record)?;
        Ok(Planned::New(record))
    }

    /// Whether a record says the same, by the same person.
    fn says(&self, record: &Record) -> bool {
        let what = (record.action, record.keep_percent, record.ramp_s);
        let sessions = (record.session_policy, record.session_grace_s);
        let who = (&record.reason, &record.actor, &record.ticket);
        what == (self.action, self.keep_percent, self.ramp_s)
            && sessions == (self.session_policy, self.session_grace_s)
            && who == (&self.reason, &self.actor, &self.ticket)
            && record.expires_ms == self.expires_ms
            && record.overrides == self.overrides
    }

    fn record(&self, current: Option<&Record>, updated: Stamp, wall_ms: u64) -> Record {
        // An order that asks for more than before has to stand behind those that others gave in between.
        let kept = current.filter(|current| {
            current.is_active(wall_ms)
                && current.action == self.action
                && current.keep_percent <= self.keep_percent
        });
        Record {
            scope: self.scope.clone(),
            action: self.action,
            keep_percent: self.keep_percent,
            from_percent: self.from_percent,
            ramp_s: self.ramp_s,
            session_policy: self.session_policy,
            session_grace_s: self.session_grace_s,
            reason: self.reason.clone(),
            actor: self.actor.clone(),
            ticket: self.ticket.clone(),
            created: kept.map_or_else(|| updated.clone(), |kept| kept.created.clone()),
            updated,
            expires_ms: self.expires_ms,
            overrides: self.overrides.clone(),
            version: version(current).saturating_add(1),
        }
    }
}

impl From<Record> for Draft {
    /// Stamps and version are left out.
    fn from(record: Record) -> Self {
        Self {
            scope: record.scope,
            action: record.action,
            keep_percent: record.keep_percent,
            from_percent: record.from_percent,
            ramp_s: record.ramp_s,
            session_policy: record.session_policy,
            session_grace_s: record.session_grace_s,
            reason: record.reason,
            actor: record.actor,
            ticket: record.ticket,
            expires_ms: record.expires_ms,
            overrides: record.overrides,
            if_version: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::RegionName;

    const NOW: u64 = 1_000_000_000;

    fn draft(action: Action) -> Draft {
        Draft {
            scope: Scope::Region(RegionName::new("eu").unwrap()),
            action,
            keep_percent: 0,
            from_percent: 100,
            ramp_s: 0,
            session_policy: SessionPolicy::Migrate,
            session_grace_s: 0,
            reason: "maintenance".to_owned(),
            actor: "ada".to_owned(),
            ticket: None,
            expires_ms: Some(NOW + 1_000_000),
            overrides: Vec::new(),
            if_version: None,
        }
    }

    fn book() -> (Book, Clock) {
        (Book::default(), Clock::new("a".to_owned()))
    }

    fn new(planned: Result<Planned, DraftError>) -> Record {
        match planned {
            Ok(Planned::New(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let (mut book, mut clock) = book();
        let mut first = draft(Action::Drain);
        first.if_version = Some(0);
        let record = new(first.plan(&book, &mut clock, NOW, Stamping::Bounded));
        assert_eq!((record.version, &record.created), (1, &record.updated));
        book.take(record.clone()).unwrap();
        first.from_percent = 40;
        let again = first.plan(&book, &mut clock, NOW + 5, Stamping::Bounded);
        assert_eq!(
            again,
            Ok(Planned::Same(record)),
            "also with its old version"
        );
        first.actor = "bob".to_owned();
        assert!(matches!(
            first.plan(&book, &mut clock, NOW, Stamping::Bounded),
            Err(DraftError::Conflict { .. })
        ));
    }

    #[test]
    fn who_saw_an_older_version_is_refused_and_shown_the_current_one() {
        let (mut book, mut clock) = book();
        book.take(new(draft(Action::Drain).plan(
            &book,
            &mut clock,
            NOW,
            Stamping::Bounded,
        )))
        .unwrap();
        let mut late = draft(Action::Undrain);
        late.if_version = Some(0);
        let error = late
            .plan(&book, &mut clock, NOW + 1, Stamping::Bounded)
            .unwrap_err();
        assert!(error.to_string().contains("at version 1"), "{error}");
        late.if_version = Some(1);
        let record = new(late.plan(&book, &mut clock, NOW + 1, Stamping::Bounded));
        assert_eq!(record.version, 2);
    }

    #[test]
    fn an_order_keeps_its_place_unless_it_asks_for_more() {
        let (mut book, mut clock) = book();
        let mut dial = draft(Action::Dial);
        dial.keep_percent = 50;
        let first = new(dial.plan(&book, &mut clock, NOW, Stamping::Bounded));
        book.take(first.clone()).unwrap();
        dial.keep_percent = 70;
        let milder = new(dial.plan(&book, &mut clock, NOW + 10, Stamping::Bounded));
        assert_eq!(milder.created, first.created);
        book.take(milder).unwrap();
        dial.keep_percent = 10;
        assert!(
            new(dial.plan(&book, &mut clock, NOW + 20, Stamping::Bounded)).created > first.created
        );
        let drain = draft(Action::Drain).plan(&book, &mut clock, NOW + 20, Stamping::Bounded);
        assert!(new(drain).created > first.created);
    }

    #[test]
    fn what_can_not_win_or_is_over_is_refused() {
        let (mut book, mut clock) = book();
        let error =
            draft(Action::Drain).plan(&book, &mut clock, NOW + 1_000_005, Stamping::Bounded);
        assert!(error.unwrap_err().to_string().contains("ended 5 ms ago"));
        let mut ahead = Clock::new("b".to_owned());
        let far =
            new(draft(Action::Dial).plan(&book, &mut ahead, NOW + 100_000, Stamping::Bounded));
        book.take(far).unwrap();
        let error = draft(Action::Drain)
            .plan(&book, &mut clock, NOW, Stamping::Bounded)
            .unwrap_err();
        assert!(
            error.to_string().contains("100000 ms in the future by b"),
            "{error}"
        );
        let above = draft(Action::Drain).plan(&book, &mut clock, NOW, Stamping::Above);
        let above = new(above);
        assert!(
            book.clone().take(above).unwrap(),
            "a store has the last word"
        );
        assert_eq!(
            clock.give(NOW).wall_ms,
            NOW,
            "and other orders keep true time"
        );
        let after =
            new(draft(Action::Drain).plan(&book, &mut clock, NOW + 50_000, Stamping::Bounded));
        assert!(
            book.take(after).unwrap(),
            "within what is tolerated it wins"
        );
    }
}
