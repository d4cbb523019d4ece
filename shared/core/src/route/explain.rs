//! Why a request takes the route it takes, and which routes can never be told apart.

use super::{HostPattern, HostRank, MAX_HOST, Rank, Request, RouteTable, Rule, host};
use http::{HeaderMap, Method};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What became of one route when a request was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteVerdict {
    /// The route, as an index into the slice the table was made from.
    pub route: usize,
    /// The verdict.
    pub verdict: Verdict,
}

/// A verdict on one route: chosen, or the first reason why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It matches and is the most specific that does.
    Chosen,
    /// It matches too, but a more specific one was chosen.
    LessSpecific,
    /// None of its hosts matches.
    Host,
    /// Its path condition does not hold.
    Path,
    /// It does not take the method.
    Method,
    /// The condition on the header field of this name does not hold.
    Header(String),
}

/// Two routes that match exactly the same requests on one host: the later one never gets any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The earlier route.
    pub first: usize,
    /// The later route.
    pub second: usize,
    /// The host pattern that both have; nothing when both match any host.
    pub host: Option<String>,
}

// === impl Verdict ===

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => f.write_str("chosen"),
            Self::LessSpecific => f.write_str("matches, but a more specific route was chosen"),
            Self::Host => f.write_str("another host"),
            Self::Path => f.write_str("another path"),
            Self::Method => f.write_str("another method"),
            Self::Header(name) => write!(f, "the condition on the field {name} does not hold"),
        }
    }
}

// === impl RouteTable ===

impl RouteTable {
    /// Every route's verdict on a request, in order of precedence for that request.
    ///
    /// Judges each route by itself instead of asking the index, so it also checks the index. The
    /// arguments are those of [`RouteTable::find`].
    #[must_use]
    pub fn explain(
        &self,
        host: &str,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Vec<RouteVerdict> {
        let request = Request::new(method, path, headers);
        let mut buffer = [0; MAX_HOST];
        let host = host::normalised(host, &mut buffer);
        let mut ranked: Vec<((HostRank, Rank), RouteVerdict)> = self
            .rules
            .iter()
            .enumerate()
            .map(|(route, rule)| {
                let (host_rank, is_host_match) = rule.host_rank(host);
                let verdict = rule.judge(is_host_match, &request);
                (
                    (host_rank, rule.rank(route)),
                    RouteVerdict { route, verdict },
                )
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| Reverse(*rank));
        let mut verdicts: Vec<_> = ranked.into_iter().map(|(_, verdict)| verdict).collect();
        if let Some(best) = verdicts
            .iter_mut()
            .find(|v| v.verdict == Verdict::LessSpecific)
        {
            best.verdict = Verdict::Chosen;
        }
        verdicts
    }

    /// Pairs of routes whose conditions are the same on a host that both have, each pair once.
    ///
    /// Conditions that merely overlap are no conflict: precedence decides between them.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        let mut seen = BTreeMap::new();
        let mut pairs = BTreeSet::new();
        let mut conflicts = Vec::new();
        for (second, rule) in self.rules.iter().enumerate() {
            let methods: BTreeSet<&str> = rule.methods.iter().map(Method::as_str).collect();
            let headers: BTreeSet<_> = rule.headers.iter().map(|h| h.identity()).collect();
            for pattern in &rule.hosts {
                let identity = (
                    pattern.text(),
                    rule.path.identity(),
                    methods.clone(),
                    headers.clone(),
                );
                let first = *seen.entry(identity).or_insert(second);
                if first != second && pairs.insert((first, second)) {
                    conflicts.push(Conflict {
                        first,
                        second,
                        host: HostPattern::text(pattern),
                    });
                }
            }
        }
        conflicts
    }
}

// === impl Rule ===

impl Rule {
    fn judge(&self, is_host_match: bool, request: &Request<'_>) -> Verdict {
        if !is_host_match {
            return Verdict::Host;
        }
        if !self.path.is_match(request.path) {
            return Verdict::Path;
        }
        if !self.is_method_match(request.method) {
            return Verdict::Method;
        }
        self.headers
            .iter()
            .find(|rule| !rule.is_match(request.headers))
            .map_or(Verdict::LessSpecific, |rule| {
                Verdict::Header(rule.name.as_str().to_owned())
            })
    }
}
