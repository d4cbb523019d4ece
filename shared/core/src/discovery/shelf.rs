//! The slices that are known, and for a while those that were.
//!
//! # Problem
//! A Service that is deleted loses its slices one after the other, and a port that is renamed reaches them one after the other. A list
//! of what is left leads all requests to the few servers of the last slice, and then to nobody.
//!
//! # Choice
//! A slice that goes with servers in it, or can't be used as it is now, is held as it was last. Its servers stay, unless a slice
//! that can be used tells of them: that word is newer. [`HOLD`] after the last such change it is decided what that was:
//!
//! - No slice is left: the Services were deleted, or the data is gone. All stays as it was.
//! - Ready servers of a Service are there, and none can be used: its port was renamed, or is wrong. What is held of it stays.
//! - Otherwise it is gone.
//!
//! Servers that are scaled down are taken out of their slices before a slice is deleted, so that this delays nothing usual.
//!
//! # Limits
//! Slices that go one by one for longer than [`MOST_HOLD`] are believed as they go. No more endpoints are kept than a multiple of
//! the servers that the pool may have ([`TooMany`]), and of what is held as many again.

use super::merge::{self, Merged, Rules};
use super::ports;
use super::slice::{Mention, Slice, Standing};
use crate::config::model::KubernetesServices;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long what goes is held after the last change of its kind. Kubernetes' garbage collector deletes the slices of a Service, and
/// its controller rewrites them, within a second or two, some of them at a second try.
const HOLD: Duration = Duration::from_secs(3);
/// How long at most after the first.
const MOST_HOLD: Duration = Duration::from_secs(10);
/// Endpoints for each server that the pool may have: both families of it, and twice as many while all are replaced.
const PER_SERVER: usize = 4;

/// Slices by name.
#[derive(Debug, Default)]
pub struct Shelf {
    known: BTreeMap<String, Slice>,
    /// Those that are gone or can't be used, as they were last.
    held: BTreeMap<String, Slice>,
    /// The first and the last time that one was held, until that is decided.
    holds: Option<(Instant, Instant)>,
    is_changed: bool,
}

/// Why servers stay that slices no longer tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// There are no slices.
    NoSlices,
    /// Ready servers are there, and none of a Service can be used.
    Useless,
}

/// More endpoints than are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "EndpointSlices hold more than {most} endpoints, {PER_SERVER} times `max_servers`: raise it, or name fewer Services"
)]
pub struct TooMany {
    /// How many are kept.
    pub most: usize,
}

// === impl TooMany ===

impl TooMany {
    /// The most endpoints that are kept for a pool.
    #[must_use]
    pub const fn of(config: &KubernetesServices) -> Self {
        Self {
            most: config.max_servers.saturating_mul(PER_SERVER),
        }
    }
}

// === impl Shelf ===

impl Shelf {
    /// Takes in all slices that there are.
    ///
    /// # Errors
    /// There are too many; nothing is changed.
    pub fn take_all(
        &mut self,
        all: Vec<Slice>,
        config: &KubernetesServices,
        now: Instant,
    ) -> Result<(), TooMany> {
        fits(all.iter(), config)?;
        let names: BTreeSet<String> = all.iter().map(|slice| slice.name.clone()).collect();
        let gone: Vec<String> = self.known.keys().cloned().collect();
        for name in gone.iter().filter(|name| !names.contains(*name)) {
            self.forget(name, config, now);
        }
        for slice in all {
            self.put(slice, config, now);
        }
        self.is_changed = true;
        Ok(())
    }

    /// Takes in a slice that is new, or not what it was. One that says the same as before is no change.
    ///
    /// # Errors
    /// There are too many with it; nothing is changed, and what is known isn't what there is.
    pub fn take(
        &mut self,
        slice: Slice,
        config: &KubernetesServices,
        now: Instant,
    ) -> Result<(), TooMany> {
        let others = self.known.values().filter(|known| known.name != slice.name);
        fits(others.chain([&slice]), config)?;
        self.put(slice, config, now);
        Ok(())
    }

    /// Takes in that a slice is gone.
    pub fn forget(&mut self, name: &str, config: &KubernetesServices, now: Instant) {
        let Some(gone) = self.known.remove(name) else {
            return;
        };
        self.hold(gone, config, now);
        self.is_changed = true;
    }

    fn put(&mut self, slice: Slice, config: &KubernetesServices, now: Instant) {
        if self.known.get(&slice.name) == Some(&slice) {
            return;
        }
        let is_usable = ports::is_usable(&slice, config);
        if is_usable && self.held.remove(&slice.name).is_some() && self.held.is_empty() {
            self.holds = None;
        }
        let before = self.known.insert(slice.name.clone(), slice);
        if let Some(before) = before.filter(|_| !is_usable) {
            self.hold(before, config, now);
        } else if !self.held.is_empty() {
            // What was decided before may be wrong with it.
            self.begin(now);
        }
        self.is_changed = true;
    }

    fn hold(&mut self, before: Slice, config: &KubernetesServices, now: Instant) {
        if !before.mentions.is_empty() && ports::is_usable(&before, config) {
            self.held.insert(before.name.clone(), before);
        }
        if !self.held.is_empty() {
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Instant) {
        let first = self.holds.map_or(now, |(first, _)| first);
        self.holds = Some((first, now));
    }

    /// Whether a list is still to be made of what was taken in.
    #[must_use]
    pub const fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// When it is to be decided what becomes of what is held.
    #[must_use]
    pub fn decides_at(&self) -> Option<Instant> {
        self.holds
            .map(|(first, last)| (last + HOLD).min(first + MOST_HOLD))
    }

    /// The servers, and why some of them are there although slices no longer tell of them, once that is decided.
    pub fn list(&mut self, rules: Rules<'_>, now: Instant) -> (Merged, Option<Stays>) {
        self.is_changed = false;
        if self.decides_at().is_some_and(|at| now >= at) {
            self.decide(rules);
            self.holds = None;
        }
        let held = self.unmentioned(rules.config);
        let list = merge::merge(self.known.values().chain(&held), rules);
        let stays = match (self.known.is_empty(), self.holds) {
            _ if list.is_useless() => Some(Stays::Useless),
            (_, Some(_)) => None,
            _ if self.held.is_empty() => None,
            (true, None) => Some(Stays::NoSlices),
            (false, None) => Some(Stays::Useless),
        };
        self.check_invariants();
        (list, stays)
    }

    /// Forgets what is held, unless no slice is left, or none of its Service that can be used while ready servers are there.
    fn decide(&mut self, rules: Rules<'_>) {
        if self.known.is_empty() {
            return;
        }
        let known = &self.known;
        let useless = |service: &str| {
            let slices = known.values().filter(|slice| slice.service == service);
            let (mut usable, mut ready) = (false, false);
            for slice in slices.filter(|slice| !slice.mentions.is_empty()) {
                usable |= ports::is_usable(slice, rules.config);
                let mut mentions = slice.mentions.iter();
                ready |= mentions.any(|one| one.conditions().standing() == Standing::Ready);
            }
            ready && !usable
        };
        self.held.retain(|_, slice| useless(&slice.service));
    }

    /// What is held of servers that no slice tells of that can be used.
    fn unmentioned(&self, config: &KubernetesServices) -> Vec<Slice> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let usable = self.known.values();
        let usable = usable.filter(|slice| ports::is_usable(slice, config));
        let told = || {
            usable.clone().flat_map(|slice| {
                let port = ports::of(slice, config);
                slice.mentions.iter().map(move |one| (port, one))
            })
        };
        // A server with two families stands in two slices, each of which tells of one; and several may have one address.
        let who = |one: &'_ Mention| Some((one.uid.clone()?, one.address?.is_ipv4()));
        let known: BTreeSet<_> = told().filter_map(|(_, one)| who(one)).collect();
        let taken: BTreeSet<_> = told().map(|(port, one)| (one.address, port)).collect();
        let mut held: Vec<Slice> = self.held.values().cloned().collect();
        for slice in &mut held {
            let port = ports::of(slice, config);
            slice.mentions.retain(|one| {
                let is_known = who(one).is_some_and(|who| known.contains(&who));
                !is_known && !taken.contains(&(one.address, port))
            });
        }
        held
    }

    fn check_invariants(&self) {
        debug_assert!(
            self.holds.is_none() || !self.held.is_empty(),
            "nothing is to be decided when nothing is held"
        );
    }
}

fn fits<'s>(
    slices: impl Iterator<Item = &'s Slice>,
    config: &KubernetesServices,
) -> Result<(), TooMany> {
    let limit = TooMany::of(config);
    let endpoints: usize = slices.map(|slice| slice.mentions.len()).sum();
    if endpoints > limit.most {
        return Err(limit);
    }
    Ok(())
}
