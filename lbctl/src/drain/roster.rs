//! The replicas that should have an order: those that the command line names, and the sisters that they know.
//!
//! # Choice
//! A replica is known by its name, as it may have several addresses: the one on the command line, the one that its sisters ask, a socket.
//! One that never answered has an address only.
//!
//! # Limits
//! Sisters are learned from those who answer, not from the sisters in turn. The token is never sent to an address learned this way.

use crate::client::{Answer, Client};
use lb_core::drain::DrainStatus;
use lb_core::status::{PeerState, Status, Tier};
use serde::Deserialize;
use std::time::Duration;

/// Longest wait for a single replica's view: what it would show after this is old.
const VIEW: Duration = Duration::from_secs(1);

/// Why a replica can't be asked that is known by its name alone.
pub(crate) const NO_ADDRESS: &str = "nobody here knows its address: add it to --admin";

/// A replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name; its address while nobody has heard from it.
    pub(crate) name: String,
    /// Where it is asked; none when nobody says where.
    pub(crate) admin: Option<String>,
    /// Its tier, if known.
    pub(crate) tier: Option<Tier>,
    /// The region that it serves (regional tier).
    pub(crate) region: Option<String>,
    /// A sister says that it does not answer, or leaves.
    pub(crate) is_gone: bool,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roster {
    /// Without doubles.
    pub(crate) members: Vec<Member>,
}

/// What a member says about orders, or why it says nothing.
pub(crate) type Seen = Result<Vec<DrainStatus>, String>;

// === impl Roster ===

impl Roster {
    /// Asks those whom the command line names.
    pub(crate) fn find(client: &Client) -> Self {
        let asked = client.ask_all("/api/v1/status").into_iter();
        Self::of(
            asked
                .map(|Answer { admin, result }| {
                    let status = result
                        .ok()
                        .and_then(|value| Status::deserialize(value).ok());
                    (admin, status)
                })
                .collect(),
        )
    }

    /// From the status of those who answered.
    pub(crate) fn of(asked: Vec<(String, Option<Status>)>) -> Self {
        let mut roster = Self::default();
        for (admin, status) in &asked {
            if let Some(status) = status {
                roster.add(member(&status.replica, admin, status));
            }
        }
        for status in asked.iter().filter_map(|(_, status)| status.as_ref()) {
            for peer in &status.peers {
                if matches!(peer.state, PeerState::Itself | PeerState::Foreign) {
                    continue;
                }
                let name = peer.replica.as_deref().unwrap_or(&peer.address);
                roster.add(Member {
                    is_gone: matches!(peer.state, PeerState::Gone | PeerState::Leaving),
                    ..member(name, &peer.address, status)
                });
            }
        }
        for (admin, _) in asked.iter().filter(|(_, status)| status.is_none()) {
            roster.add(Member {
                name: admin.clone(),
                admin: Some(admin.clone()),
                tier: None,
                region: None,
                is_gone: false,
            });
        }
        roster
    }

    fn add(&mut self, new: Member) {
        let is_known = self.members.iter().any(|member| {
            let same_name = member.name == new.name && member.is_sister(&new);
            same_name || (member.admin.is_some() && member.admin == new.admin)
        });
        if !is_known {
            self.members.push(new);
        }
    }

    /// Only those who get the orders that the replica at `admin`, called `name`, took.
    pub(crate) fn sisters_of(mut self, admin: &str, name: &str, tier: Tier) -> Self {
        let taker = self
            .members
            .iter_mut()
            .find(|member| member.admin.as_deref() == Some(admin));
        let taker = match taker {
            Some(taker) => {
                // It may have died since, so that it can't tell its name.
                if taker.name == admin && !name.is_empty() {
                    name.clone_into(&mut taker.name);
                }
                taker.tier = Some(tier);
                taker.clone()
            }
            None => return self,
        };
        self.members.retain(|member| member.is_sister(&taker));
        self
    }

    /// What all of them say now.
    pub(crate) fn views(&self, client: &Client) -> Vec<Seen> {
        let admins: Vec<String> = self
            .members
            .iter()
            .filter_map(|m| m.admin.clone())
            .collect();
        let mut answers = client
            .with(admins, VIEW)
            .ask_all("/api/v1/drains")
            .into_iter();
        let views = self.members.iter().map(|member| {
            let answer = member.admin.as_ref().and_then(|_| answers.next());
            let Some(answer) = answer else {
                return Err(NO_ADDRESS.to_owned());
            };
            let value = answer.result.map_err(|failure| failure.message)?;
            Vec::deserialize(value).map_err(|error| error.to_string())
        });
        views.collect()
    }
}

// === impl Member ===

impl Member {
    /// Whether both share their orders, as far as is known.
    pub(crate) fn is_sister(&self, other: &Self) -> bool {
        let (Some(tier), Some(others)) = (self.tier, other.tier) else {
            return true;
        };
        tier == others && (self.region == other.region || tier == Tier::Global)
    }
}

fn member(name: &str, admin: &str, status: &Status) -> Member {
    Member {
        name: name.to_owned(),
        admin: Some(admin.to_owned()),
        tier: Some(status.tier),
        region: status.region.clone(),
        is_gone: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::status::PeerStatus;

    fn status(name: &str, tier: Tier, peers: &[(&str, Option<&str>, PeerState)]) -> Status {
        let peers = peers.iter().map(|(address, replica, state)| PeerStatus {
            address: (*address).to_owned(),
            replica: replica.map(str::to_owned),
            state: *state,
            ..PeerStatus::default()
        });
        Status {
            replica: name.to_owned(),
            tier,
            peers: peers.collect(),
            ..Status::default()
        }
    }

    fn names(roster: &Roster) -> Vec<&str> {
        roster.members.iter().map(|m| m.name.as_str()).collect()
    }

    fn asked() -> Vec<(String, Option<Status>)> {
        let g1 = status(
            "g1",
            Tier::Global,
            &[
                ("10.0.0.1:1", Some("g1"), PeerState::Itself),
                ("10.0.0.2:1", Some("g2"), PeerState::Live),
                ("10.0.0.3:1", None, PeerState::Gone),
                ("10.0.0.9:1", Some("r9"), PeerState::Foreign),
            ],
        );
        vec![
            ("localhost:1".to_owned(), Some(g1)),
            (
                "localhost:2".to_owned(),
                Some(status("g2", Tier::Global, &[])),
            ),
            (
                "localhost:7".to_owned(),
                Some(status("r1", Tier::Regional, &[])),
            ),
            ("localhost:8".to_owned(), None),
        ]
    }

    #[test]
    fn sisters_are_known_once_and_by_name() {
        let roster = Roster::of(asked());
        assert_eq!(
            names(&roster),
            ["g1", "g2", "r1", "10.0.0.3:1", "localhost:8"]
        );
        assert!(roster.members[3].is_gone);
    }

    #[test]
    fn only_the_takers_sisters_count() {
        let roster = Roster::of(asked()).sisters_of("localhost:1", "g1", Tier::Global);
        assert_eq!(names(&roster), ["g1", "g2", "10.0.0.3:1", "localhost:8"]);
    }

    #[test]
    fn a_taker_that_died_has_the_name_that_it_signed_with() {
        let dead = vec![("localhost:1".to_owned(), None)];
        let roster = Roster::of(dead).sisters_of("localhost:1", "g1", Tier::Global);
        assert_eq!(names(&roster), ["g1"]);
    }
}
