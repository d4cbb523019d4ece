//! How far an order is, as the replicas show it. Pure: what was seen goes in, a verdict comes out.

use super::args::Wait;
use super::roster::{Member, Roster, Seen};
use crate::failure::{Exit, Failure};
use lb_core::drain::{Action, Answer, DrainStatus, Record, Rule, Scope, Stage};
use serde::Serialize;

/// Whether a replica has the order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Has {
    /// It shows it.
    Yes,
    /// It shows one that came later.
    Later(Box<Record>),
    /// It shows another one, or none.
    No,
    /// It has said so to the replica that took the order, and can't be asked.
    Acked(String),
    /// It can't be asked.
    Silent(String),
}

/// What one replica shows.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    /// The replica.
    pub(crate) member: Member,
    /// Whether it has the order.
    pub(crate) has: Has,
    /// What it says about the region or server; none when it says nothing.
    pub(crate) status: Option<DrainStatus>,
}

/// What all replicas show.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sights(pub(crate) Vec<Sight>);

/// A replica in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Told<'a> {
    replica: &'a str,
    admin: Option<&'a str>,
    applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a DrainStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

// === impl Sights ===

impl Sights {
    /// What `views` say about the order of `answer`; replicas that only the answer names are added.
    pub(crate) fn of(roster: &Roster, views: Vec<Seen>, answer: &Answer) -> Self {
        let mut sights: Vec<Sight> = roster
            .members
            .iter()
            .cloned()
            .zip(views)
            .map(|(member, seen)| sight(member, seen, answer))
            .collect();
        let unasked = if roster.members.is_empty() {
            "not asked"
        } else {
            super::roster::NO_ADDRESS
        };
        for name in answer.applied.iter().chain(&answer.missing) {
            if sights.iter().any(|sight| sight.member.name == *name) {
                continue;
            }
            let member = Member {
                name: name.clone(),
                admin: None,
                tier: None,
                region: None,
                is_gone: false,
            };
            sights.push(sight(member, Err(unasked.to_owned()), answer));
        }
        Self(sights)
    }

    /// Replicas that have the order, or a later one.
    pub(crate) fn applied(&self) -> usize {
        self.0.iter().filter(|sight| sight.is_applied()).count()
    }

    /// All replicas that should have it.
    pub(crate) fn all(&self) -> usize {
        self.0.len()
    }

    /// Whether enough have it.
    pub(crate) fn is_enough(&self, wait: Wait) -> bool {
        wait.is_met(self.applied(), self.all())
    }

    /// Whether one that answers lacks it: it will show it in a moment.
    pub(crate) fn is_on_its_way(&self) -> bool {
        self.0.iter().any(|sight| sight.has == Has::No)
    }

    /// Replicas at which the order is carried out.
    pub(crate) fn done(&self, record: &Record) -> usize {
        self.0.iter().filter(|sight| sight.is_done(record)).count()
    }

    /// Those that can't be asked.
    pub(crate) fn silent(&self) -> impl Iterator<Item = &Sight> {
        self.0.iter().filter(|sight| sight.error().is_some())
    }

    /// What each replica says.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = &DrainStatus> {
        self.0.iter().filter_map(|sight| sight.status.as_ref())
    }

    /// Those that lack it, with the reason.
    pub(crate) fn missing(&self) -> String {
        let missing = self.0.iter().filter(|sight| !sight.is_applied());
        let told = missing.map(|sight| {
            let why = sight.error().unwrap_or("it does not show it yet");
            format!("{} ({why})", sight.member.name)
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// Names of those that have it (`true`), or of those that lack it.
    pub(crate) fn names(&self, applied: bool) -> Vec<&str> {
        let sights = self.0.iter().filter(|sight| sight.is_applied() == applied);
        sights.map(|sight| sight.member.name.as_str()).collect()
    }

    /// For JSON.
    pub(crate) fn told(&self) -> Vec<Told<'_>> {
        let told = self.0.iter().map(|sight| Told {
            replica: &sight.member.name,
            admin: sight.member.admin.as_deref(),
            applied: sight.is_applied(),
            status: sight.status.as_ref(),
            error: sight.error(),
        });
        told.collect()
    }

    /// Why it will not be carried out, if so.
    pub(crate) fn halt(&self, record: &Record) -> Option<Failure> {
        self.0.iter().find_map(|sight| sight.halt(record))
    }
}

// === impl Sight ===

impl Sight {
    /// Whether it has the order, or a later one.
    pub(crate) fn is_applied(&self) -> bool {
        matches!(self.has, Has::Yes | Has::Later(_) | Has::Acked(_))
    }

    /// Why it can't be asked.
    pub(crate) fn error(&self) -> Option<&str> {
        match &self.has {
            Has::Acked(why) | Has::Silent(why) => Some(why),
            _ => None,
        }
    }

    fn is_done(&self, record: &Record) -> bool {
        let stage = self.status.as_ref().map_or(Stage::Active, |s| s.stage);
        self.has == Has::Yes && stage == goal(record)
    }

    fn halt(&self, record: &Record) -> Option<Failure> {
        let name = &self.member.name;
        if let Has::Later(later) = &self.has {
            let message = format!(
                "{} has replaced the order on {}: {} ({name} shows it)",
                later.actor,
                later.scope,
                later.action.as_str()
            );
            return Some(Failure::new(Exit::Failed, message).hint("lbctl region drains"));
        }
        let stage = self.status.as_ref().filter(|_| self.has == Has::Yes)?.stage;
        match stage {
            Stage::Suspended => {
                let (what, rule) = match record.scope {
                    Scope::Region(_) => ("region", Rule::LastRegion),
                    Scope::Server { .. } => ("server of its pool", Rule::LastServer),
                };
                let message = format!(
                    "{name} has the order and does not obey it: with the earlier ones it would leave no {what} in service"
                );
                let hint = format!(
                    "undrain one of the others and it is obeyed, or give it again with --override {}",
                    rule.as_str()
                );
                Some(Failure::new(Exit::Refused, message).hint(&hint))
            }
            Stage::Undraining | Stage::ExpiredUnhealthy if record.action != Action::Undrain => {
                let message = format!("the order has expired before it was carried out at {name}");
                Some(Failure::new(Exit::Partial, message).hint("--expires gives it longer"))
            }
            _ => None,
        }
    }
}

/// The stage at which an order is carried out.
pub(crate) fn goal(record: &Record) -> Stage {
    match record.action {
        Action::Undrain => Stage::Active,
        Action::Offline => Stage::Offline,
        Action::Drain | Action::Dial if record.keep_percent == 0 => Stage::Drained,
        Action::Drain | Action::Dial => Stage::Dialed,
    }
}

fn sight(member: Member, seen: Seen, answer: &Answer) -> Sight {
    let ours = &answer.record;
    let (has, status) = match seen {
        Err(why) if answer.applied.contains(&member.name) => (Has::Acked(why), None),
        Err(why) => (Has::Silent(why), None),
        Ok(list) => {
            let scope = ours.scope.to_string();
            let status = list.into_iter().find(|status| status.scope == scope);
            let record = status.as_ref().and_then(|status| status.record.clone());
            let has = match record {
                Some(record) if record.updated == ours.updated => Has::Yes,
                Some(record) if record.updated > ours.updated => Has::Later(Box::new(record)),
                Some(_) => Has::No,
                // What is over is not listed for long.
                None if status.is_none() && ours.action == Action::Undrain => Has::Yes,
                None => Has::No,
            };
            (has, status)
        }
    };
    Sight {
        member,
        has,
        status,
    }
}

#[cfg(test)]
#[path = "sight_tests.rs"]
mod tests;
