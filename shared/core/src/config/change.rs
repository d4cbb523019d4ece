//! What a reload changes, and what it has to leave for a restart.
//!
//! **Problem.** A running program can take new routes, pools and limits at once. It can't move to another
//! address, grow threads or change its name without losing connections or the identity under which
//! its counters and health are known. A reload that did half of such a change would leave a process
//! that matches neither file.
//!
//! **Choice.** Two steps. [`carry_over`] makes the configuration that the program really runs next: the
//! new file, with the values of the old one for everything that can't change in place, and a
//! [`Deferred`] for each of those. [`diff`] then compares old and next as trees, so no setting can be
//! forgotten: what differs there is applied live by definition.
//!
//! **Rejected.** Refusing the whole file: an emergency change of routes would have to wait for the
//! restart that somebody else's new listener needs. Marking each field as live or not by an attribute:
//! listeners are told apart by name, which an attribute can't say.
//!
//! **Live** are routes, pools, regions, limits, shutdown, peers, trusted proxies, the geo source, capacity, the access
//! log but for its path, and the certificates of a TLS listener. Its client authorities are not: they are
//! built into the acceptor that open connections share.

mod hash;
mod tree;

#[cfg(test)]
mod tests;

pub use hash::content_hash;

use super::model::{AccessLog, Admin, Global, Listener, Protocol, Regional};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What differs between two configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// What is applied at once, one line each, such as `pools.app.servers.a.weight: 1 -> 5`.
    pub live: Vec<String>,
    /// What has to wait.
    pub deferred: Vec<Deferred>,
}

/// A setting of the new file that does not take effect until something else happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deferred {
    /// The setting, such as `listeners.web.address`.
    pub path: String,
    /// Why it can't be changed in place, and what stays.
    pub reason: String,
    /// What brings it into effect.
    pub remedy: String,
}

/// A configuration of either tier.
pub trait Reload: Clone + Serialize {
    /// Puts the values of `old` in place of those that can't change while the program runs, and tells which.
    fn keep_fixed(&mut self, old: &Self) -> Vec<Deferred>;
}

/// What changes from `old` to `new`, live or later.
#[must_use]
pub fn diff<C: Reload>(old: &C, new: &C) -> Change {
    let (next, deferred) = carry_over(old, new.clone());
    let live = match (serde_json::to_value(old), serde_json::to_value(&next)) {
        (Ok(old), Ok(next)) => tree::differences(&old, &next),
        // Not reached: every type of the configuration is a tree of plain values.
        _ => vec!["the configuration".to_owned()],
    };
    Change { live, deferred }
}

/// The configuration to run after `old`: `new`, with the old values of what can't change in place.
#[must_use]
pub fn carry_over<C: Reload>(old: &C, mut new: C) -> (C, Vec<Deferred>) {
    let deferred = new.keep_fixed(old);
    (new, deferred)
}

/// [`carry_over`] for the regional tier.
#[must_use]
pub fn carry_over_regional(old: &Regional, new: Regional) -> (Regional, Vec<Deferred>) {
    carry_over(old, new)
}

/// [`carry_over`] for the global tier.
#[must_use]
pub fn carry_over_global(old: &Global, new: Global) -> (Global, Vec<Deferred>) {
    carry_over(old, new)
}

// === impl Change ===

impl Change {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.deferred.is_empty()
    }
}

// === impl Deferred ===

impl Deferred {
    fn new(path: &str, reason: &str, remedy: &str) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}

impl fmt::Display for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.reason, self.remedy)
    }
}

// === impl Regional ===

impl Reload for Regional {
    fn keep_fixed(&mut self, old: &Self) -> Vec<Deferred> {
        let mut deferred = Vec::new();
        let all = &mut deferred;
        fixed(all, "name", IDENTITY, &mut self.name, &old.name);
        fixed(all, "region", IDENTITY, &mut self.region, &old.region);
        fixed(all, "threads", THREADS, &mut self.threads, &old.threads);
        fixed(
            all,
            "threading",
            THREADS,
            &mut self.threading,
            &old.threading,
        );
        admin(all, &mut self.admin, &old.admin);
        fixed(
            all,
            "run_directory",
            "the process is known by it until its end",
            &mut self.run_directory,
            &old.run_directory,
        );
        fixed(all, "state", STATE, &mut self.state, &old.state);
        access_log(all, &mut self.access_log, &old.access_log);
        listeners(all, &mut self.listeners, &old.listeners);
        deferred
    }
}

// === impl Global ===

impl Reload for Global {
    fn keep_fixed(&mut self, old: &Self) -> Vec<Deferred> {
        let mut deferred = Vec::new();
        let all = &mut deferred;
        fixed(all, "name", IDENTITY, &mut self.name, &old.name);
        fixed(all, "threads", THREADS, &mut self.threads, &old.threads);
        fixed(
            all,
            "threading",
            THREADS,
            &mut self.threading,
            &old.threading,
        );
        admin(all, &mut self.admin, &old.admin);
        fixed(
            all,
            "run_directory",
            "the process is known by it until its end",
            &mut self.run_directory,
            &old.run_directory,
        );
        fixed(all, "state", STATE, &mut self.state, &old.state);
        access_log(all, &mut self.access_log, &old.access_log);
        listeners(all, &mut self.listeners, &old.listeners);
        deferred
    }
}

const IDENTITY: &str = "counters, health and reports are kept under it, so it stays until the end";
const THREADS: &str = "threads are started with the program and stay until its end";
const BOUND: &str = "the socket is bound and has connections; the old one stays";
const STATE: &str = "orders are kept where they were found at the start";
const RESTART: &str = "run `lbctl upgrade`, or restart this process, one replica at a time";

fn fixed<T: Clone + PartialEq>(
    deferred: &mut Vec<Deferred>,
    path: &str,
    reason: &str,
    new: &mut T,
    old: &T,
) {
    if new != old {
        deferred.push(Deferred::new(path, reason, RESTART));
        new.clone_from(old);
    }
}

fn admin(deferred: &mut Vec<Deferred>, new: &mut Admin, old: &Admin) {
    fixed(
        deferred,
        "admin.address",
        BOUND,
        &mut new.address,
        &old.address,
    );
    fixed(
        deferred,
        "admin.token_file",
        "writes and peers go by the old file; its content is read again when it changes",
        &mut new.token_file,
        &old.token_file,
    );
}

fn access_log(deferred: &mut Vec<Deferred>, new: &mut AccessLog, old: &AccessLog) {
    let reason = "the file is open and stays in use";
    fixed(
        deferred,
        "access_log.path",
        reason,
        &mut new.path,
        &old.path,
    );
}

/// Listeners are told apart by name. The result has exactly those of `old`, in its order.
fn listeners(deferred: &mut Vec<Deferred>, new: &mut Vec<Listener>, old: &[Listener]) {
    let added = new.iter().filter(|n| !old.iter().any(|o| o.name == n.name));
    for listener in added {
        let path = format!("listeners.{}", listener.name);
        let reason = "a new listener is not opened while the program runs";
        deferred.push(Deferred::new(&path, reason, RESTART));
    }
    let mut next = Vec::with_capacity(old.len());
    for was in old {
        let path = format!("listeners.{}", was.name);
        let Some(wanted) = new.iter().find(|n| n.name == was.name) else {
            let reason = "a listener is not closed while the program runs; it keeps serving";
            deferred.push(Deferred::new(&path, reason, RESTART));
            next.push(was.clone());
            continue;
        };
        next.push(listener(deferred, &path, wanted.clone(), was));
    }
    *new = next;
}

fn listener(
    deferred: &mut Vec<Deferred>,
    path: &str,
    mut new: Listener,
    old: &Listener,
) -> Listener {
    let address = format!("{path}.address");
    fixed(deferred, &address, BOUND, &mut new.address, &old.address);
    let tls_stays = new.tls.is_some() == old.tls.is_some();
    // A default and the same protocols written out are no change.
    if tls_stays && protocols(&new) != protocols(old) {
        let reason = "what is spoken is settled when the listener opens; the old protocols stay";
        deferred.push(Deferred::new(&format!("{path}.protocols"), reason, RESTART));
    }
    new.protocols.clone_from(&old.protocols);
    if !tls_stays {
        let reason = if old.tls.is_some() {
            "TLS is not taken off a listener that is open; it stays"
        } else {
            "TLS is not put on a listener that is open; it stays plain text"
        };
        deferred.push(Deferred::new(&format!("{path}.tls"), reason, RESTART));
        new.tls.clone_from(&old.tls);
    }
    if let (Some(new), Some(old)) = (&mut new.tls, &old.tls) {
        let path = format!("{path}.tls.client_ca");
        let reason = "client authorities are settled when the listener opens; the old ones stay";
        fixed(deferred, &path, reason, &mut new.client_ca, &old.client_ca);
    }
    new
}

/// The protocols that are answered, in an order of their own.
fn protocols(listener: &Listener) -> [bool; 3] {
    let answered = listener.effective_protocols();
    [Protocol::Http1, Protocol::H2, Protocol::H2c].map(|one| answered.contains(&one))
}
