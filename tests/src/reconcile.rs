//! Comparing the clients' account with the servers': what was lost, repeated, or made up on the way.
//!
//! Neither side alone can tell. A client that got an error doesn't know whether the request was carried out; a server
//! that saw an id once doesn't know that its sister saw it too.
//!
//! | group | meaning |
//! |---|---|
//! | `lost` | the client got no good answer and no server saw the request |
//! | `failed` | the client got no good answer, though a server saw the request |
//! | `forged` | the client got a good answer, and no server saw the request |
//! | `repeated` | a safe request arrived more than once (allowed within the retry budget) |
//! | `repeated_posts` | a POST arrived more than once: never allowed after it was sent |
//! | `damaged` | the client got a good answer to a request whose body did not arrive whole |
//! | `strangers` | servers saw an id of this load that was never sent |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use http::Method;

use crate::load::{RESENDS, Report};
use crate::server::{Ledger, Seen};

/// The result of [`reconcile`]; each list holds ids.
#[derive(Debug, Clone, Default)]
pub struct Reconciliation {
    /// Requests in the client's account.
    pub sent: usize,
    /// Arrivals at servers of requests in that account.
    pub arrivals: usize,
    /// See the module's table.
    pub lost: Vec<String>,
    /// See the module's table.
    pub failed: Vec<String>,
    /// See the module's table.
    pub forged: Vec<String>,
    /// See the module's table.
    pub repeated: Vec<String>,
    /// See the module's table.
    pub repeated_posts: Vec<String>,
    /// See the module's table.
    pub damaged: Vec<String>,
    /// See the module's table.
    pub strangers: Vec<String>,
}

/// Compares a report with the ledgers of all servers that could have been reached.
///
/// Only arrivals with an id of the load count, so several loads may share servers.
pub fn reconcile<'a>(
    report: &Report,
    ledgers: impl IntoIterator<Item = &'a Ledger>,
) -> Reconciliation {
    let seen: Vec<Seen> = ledgers.into_iter().flat_map(Ledger::seen).collect();
    let mut arrivals: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for one in &seen {
        arrivals.entry(&one.id).or_default().push(one);
    }
    let mut result = Reconciliation {
        sent: report.outcomes.len(),
        ..Reconciliation::default()
    };
    let mut known = BTreeSet::new();
    for outcome in &report.outcomes {
        let mine = arrivals
            .get(outcome.id.as_str())
            .map_or(&[][..], Vec::as_slice);
        known.insert(outcome.id.as_str());
        result.arrivals += mine.len();
        let is_post = outcome.method == Method::POST;
        let id = || outcome.id.clone();
        match (&outcome.result, mine) {
            (Err(_), []) => result.lost.push(id()),
            (Err(_), _) => result.failed.push(id()),
            (Ok(_), []) => result.forged.push(id()),
            (Ok(_), _) => {}
        }
        match mine.len() {
            0 | 1 => {}
            _ if is_post => result.repeated_posts.push(id()),
            _ => result.repeated.push(id()),
        }
        let is_whole = |one: &&Seen| one.body_complete && one.body_intact;
        if is_post && outcome.result.is_ok() && !mine.is_empty() && !mine.iter().any(is_whole) {
            result.damaged.push(id());
        }
    }
    let run = report
        .outcomes
        .first()
        .and_then(|o| o.id.split_once('-'))
        .map(|(run, _)| run);
    let is_stranger = |id: &&str| {
        let own_run = id.split_once('-').map(|(run, _)| run);
        let mut ids = (0..=RESENDS).map(|times| format!("{id}{}", "+1".repeat(times)));
        own_run == run && !ids.any(|id| known.contains(id.as_str()))
    };
    result.strangers = arrivals
        .keys()
        .filter(|id| is_stranger(id))
        .map(ToString::to_string)
        .collect();
    result
}

// === impl Reconciliation ===

impl Reconciliation {
    /// Arrivals at servers per request of the client: how much the layers between add.
    pub fn amplification(&self) -> f64 {
        if self.sent == 0 {
            0.0
        } else {
            self.arrivals as f64 / self.sent as f64
        }
    }

    /// Nothing lost, failed, forged, damaged or strange, and no POST repeated. Safe requests may have been repeated.
    pub fn is_clean(&self) -> bool {
        [
            &self.lost,
            &self.failed,
            &self.forged,
            &self.repeated_posts,
            &self.damaged,
            &self.strangers,
        ]
        .iter()
        .all(|group| group.is_empty())
    }
}

impl fmt::Display for Reconciliation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} sent, {} arrivals ({:.3} ×)",
            self.sent,
            self.arrivals,
            self.amplification()
        )?;
        let groups = [
            ("lost", &self.lost),
            ("failed", &self.failed),
            ("forged", &self.forged),
            ("repeated", &self.repeated),
            ("repeated POSTs", &self.repeated_posts),
            ("damaged", &self.damaged),
            ("strangers", &self.strangers),
        ];
        for (name, ids) in groups.into_iter().filter(|(_, ids)| !ids.is_empty()) {
            let some: Vec<&str> = ids.iter().take(8).map(String::as_str).collect();
            let more = if ids.len() > some.len() { " …" } else { "" };
            writeln!(f, "  {:>5} {name}: {}{more}", ids.len(), some.join(" "))?;
        }
        Ok(())
    }
}
