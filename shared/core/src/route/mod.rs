//! Which route a request takes.
//!
//! **Problem.** A file may hold a thousand routes of many teams; which one wins must not depend on
//! where someone pasted theirs, and finding it must cost nothing that shows up in a profile.
//!
//! **Precedence.** The most specific route wins (Gateway API `HTTPRoute`; nginx for hosts):
//! 1. host: exact, then the longest wildcard, then any ([`HostPattern`] tells what a wildcard covers);
//! 2. path: exact, then the longest prefix, then the longest regular expression, then any
//!    (the prefix `/` is the same as any);
//! 3. more header conditions;
//! 4. a condition on the method;
//! 5. the earlier one in the file.
//!
//! When no route of the most specific host matches, less specific hosts are tried: `api.example.com`
//! with one route for `/v2` does not hide the catch-all of `*.example.com`. nginx never leaves a
//! server block; the Gateway API falls through, and so do we, because a 404 helps nobody.
//!
//! **Look-up.** Hosts and literal paths are hash keys: exact host, then each suffix; inside a host the
//! exact path, then each prefix that ends at a segment, both bounded by the longest key in the table so
//! that a hostile target of 8,000 slashes costs no more than an honest one. Only regular expressions
//! are tried one by one. Rejected: one sorted list (slow with many routes), a radix tree (more code for
//! the same few steps). No allocation, apart from what the regex engine caches once per thread.
//!
//! **Limits.** Paths are compared as they were sent, without decoding and with their dot segments, so a
//! route is no access control. Expressions cost time in proportion to their number on a host.

mod condition;
pub mod edit;
mod explain;
mod host;
mod index;
mod path;
pub mod target;
#[cfg(test)]
mod tests;

pub use explain::{Conflict, RouteVerdict, Verdict};
pub use host::{HostPattern, MAX_HOST};

use crate::config::model::Route;
use condition::HeaderRule;
use host::HostRank;
use http::{HeaderMap, Method};
use index::PathIndex;
use path::{PathRank, PathRule};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Why routes can't be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route \"{route}\": {key}: {reason}")]
pub struct RouteError {
    /// The route's name.
    pub route: String,
    /// The key inside the route, such as `match.path.regex`.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Routes compiled for look-up. Routes are named by their index in the slice they came from.
#[derive(Debug, Default)]
pub struct RouteTable {
    rules: Box<[Rule]>,
    exact: HashMap<Box<str>, PathIndex>,
    wildcard: HashMap<Box<str>, PathIndex>,
    longest_wildcard: usize,
    any: PathIndex,
}

/// One route's conditions.
#[derive(Debug)]
struct Rule {
    hosts: Box<[HostPattern]>,
    path: PathRule,
    methods: Box<[Method]>,
    headers: Box<[HeaderRule]>,
}

/// What a route is judged by.
#[derive(Debug, Clone, Copy)]
struct Request<'a> {
    method: &'a Method,
    path: &'a str,
    headers: &'a HeaderMap,
}

/// Precedence among routes of one host; the greater wins.
type Rank = (PathRank, usize, bool, Reverse<usize>);

// === impl RouteError ===

impl RouteError {
    fn new(route: &str, key: &str, reason: String) -> Self {
        Self {
            route: route.to_owned(),
            key: key.to_owned(),
            reason,
        }
    }
}

// === impl RouteTable ===

impl RouteTable {
    /// Compiles `routes`.
    ///
    /// # Errors
    /// The first fault, with route and key: a host, method, name or expression that can't be parsed.
    pub fn new(routes: &[Route]) -> Result<Self, RouteError> {
        let rules = routes
            .iter()
            .map(Rule::new)
            .collect::<Result<Box<_>, _>>()?;
        let mut table = Self::default();
        let mut order: Vec<usize> = (0..rules.len()).collect();
        order.sort_by_key(|at| Reverse(rules.get(*at).map(|rule| rule.rank(*at))));
        for at in order {
            let Some(rule) = rules.get(at) else { continue };
            for pattern in &rule.hosts {
                table.index_mut(pattern).add(&rule.path, at);
            }
        }
        table.rules = rules;
        Ok(table)
    }

    /// The route for a request, as an index into the slice the table was made from.
    ///
    /// `host` is as in `Host` or `:authority`: with or without port, in any case, empty when there is
    /// none. `path` is without the query. Does not allocate.
    #[must_use]
    pub fn find(
        &self,
        host: &str,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<usize> {
        let request = Request::new(method, path, headers);
        let pick = |index: &PathIndex| {
            index.find(request.path, |at| {
                self.rules
                    .get(at)
                    .is_some_and(|rule| rule.is_match_beyond_literals(&request))
            })
        };
        let mut buffer = [0; MAX_HOST];
        let host = host::normalised(host, &mut buffer);
        if !self.exact.is_empty()
            && let Some(found) = self.exact.get(host).and_then(pick)
        {
            return Some(found);
        }
        if self.longest_wildcard > 0
            && let Some(found) = host::suffixes(host)
                .filter(|suffix| suffix.len() <= self.longest_wildcard)
                .find_map(|suffix| self.wildcard.get(suffix).and_then(pick))
        {
            return Some(found);
        }
        pick(&self.any)
    }

    fn index_mut(&mut self, pattern: &HostPattern) -> &mut PathIndex {
        match pattern {
            HostPattern::Any => &mut self.any,
            HostPattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostPattern::Wildcard(suffix) => {
                self.longest_wildcard = self.longest_wildcard.max(suffix.len());
                self.wildcard.entry(suffix.clone()).or_default()
            }
        }
    }
}

// === impl Rule ===

impl Rule {
    fn new(route: &Route) -> Result<Self, RouteError> {
        let name = route.name.as_str();
        let from = &route.matches;
        let mut hosts = Vec::with_capacity(from.hosts.len().max(1));
        for (index, text) in from.hosts.iter().enumerate() {
            let pattern = HostPattern::parse(text).map_err(|reason| {
                RouteError::new(name, &format!("match.hosts[{index}]"), reason)
            })?;
            if !hosts.contains(&pattern) {
                hosts.push(pattern);
            }
        }
        if hosts.is_empty() {
            hosts.push(HostPattern::Any);
        }
        Ok(Self {
            hosts: hosts.into(),
            path: PathRule::new(name, from.path.as_ref())?,
            methods: condition::methods(name, &from.methods)?,
            headers: from
                .headers
                .iter()
                .enumerate()
                .map(|(index, header)| HeaderRule::new(name, index, header))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether everything holds that the index has not settled: expression, method and header fields.
    fn is_match_beyond_literals(&self, request: &Request<'_>) -> bool {
        self.is_method_match(request.method)
            && self
                .headers
                .iter()
                .all(|rule| rule.is_match(request.headers))
            && match &self.path {
                PathRule::Regex(..) => self.path.is_match(request.path),
                _ => true,
            }
    }

    fn is_method_match(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    fn rank(&self, at: usize) -> Rank {
        (
            self.path.rank(),
            self.headers.len(),
            !self.methods.is_empty(),
            Reverse(at),
        )
    }

    /// The rank of the best pattern that matches `host`, or of the best of all when none does.
    fn host_rank(&self, host: &str) -> (HostRank, bool) {
        let best = |only_matching: bool| {
            self.hosts
                .iter()
                .filter(|pattern| !only_matching || pattern.is_match(host))
                .map(HostPattern::rank)
                .max()
        };
        match best(true) {
            Some(rank) => (rank, true),
            None => (best(false).unwrap_or(HostRank::Any), false),
        }
    }
}

// === impl Request ===

impl<'a> Request<'a> {
    fn new(method: &'a Method, path: &'a str, headers: &'a HeaderMap) -> Self {
        Self {
            method,
            path: if path.is_empty() { "/" } else { path },
            headers,
        }
    }
}
