//! Which orders yield, so that together they don't take the last region or server.
//!
//! # Problem
//! Each order is checked before it is taken, with what its replica knows. Two that are given at one time at two replicas both pass.
//!
//! # Choice
//! Wherever orders are evaluated they are looked at again, in the order in which they were given (their `created` stamps, which are
//! totally ordered): the one that would take the last is suspended. It depends on the orders and the configuration alone, so that all
//! replicas suspend the same one, and needs no store that orders writes.
//!
//! Health doesn't matter for orders that are soft: what is drained is still used when nothing else is healthy. A region that is
//! *offline* is never used, so of orders given [`TOGETHER`] the one that takes the last region that is usable *here* is carried
//! out as a drain meanwhile.
//!
//! # Rejected
//! *Health for all of them*: replicas may see it differently, and would suspend different orders. *The same for orders that were not given at one
//! time*: the author of the later one had the earlier in view, and meant it.
//!
//! # Limits
//! Replicas that can't reach each other for longer than [`TOGETHER`] may take the last usable region by two `offline`.

use super::{Action, Book, Facts, MOST_AHEAD, Record, Rule, Scope};
use crate::name::ServerName;
use std::collections::HashSet;

/// Orders whose stamps differ by less were given without a sight of each other, in milliseconds.
const TOGETHER: u64 = MOST_AHEAD;

/// Orders on regions that would leave none in service.
pub(super) fn regions(book: &Book, facts: &[Facts], now_ms: u64) -> HashSet<Scope> {
    let takes_out = |record: &&Record| {
        let is_whole = record.keep_percent == 0 || record.action == Action::Offline;
        record.is_active(now_ms) && is_whole
    };
    let in_service = facts.iter().filter(|fact| fact.in_service);
    let left = in_service.map(|fact| Scope::Region(fact.name.clone()));
    yielding(
        book.iter().filter(takes_out).collect(),
        left.collect(),
        Rule::LastRegion,
    )
}

/// Servers of a pool whose orders would leave none of `servers` in service; all of `orders` are in force, and on that pool.
pub fn suspended_servers<'a>(
    orders: impl Iterator<Item = &'a Record>,
    servers: impl Iterator<Item = Scope>,
) -> HashSet<ServerName> {
    let scopes = yielding(orders.collect(), servers.collect(), Rule::LastServer);
    let names = scopes.into_iter().filter_map(|scope| match scope {
        Scope::Server { server, .. } => Some(server),
        Scope::Region(_) => None,
    });
    names.collect()
}

/// Orders to turn a region off that are carried out as a drain, because another one of that moment left no other usable region.
pub(super) fn softened(book: &Book, facts: &[Facts], now_ms: u64) -> HashSet<Scope> {
    let is_offline = |r: &&Record| r.is_active(now_ms) && r.action == Action::Offline;
    let usable = facts.iter().filter(|f| f.in_service && f.is_usable);
    let mut left: HashSet<Scope> = usable.map(|f| Scope::Region(f.name.clone())).collect();
    let (mut softened, mut before) = (HashSet::new(), None);
    for order in by_age(book.iter().filter(is_offline).collect()) {
        let at = order.created.wall_ms;
        let is_near = before.is_some_and(|before: u64| at.saturating_sub(before) < TOGETHER);
        let is_last = left.len() == 1 && left.contains(&order.scope);
        if is_last && is_near && !order.may_break(Rule::LastRegion) {
            softened.insert(order.scope.clone());
        } else if left.remove(&order.scope) {
            before = Some(at);
        }
    }
    softened
}

fn yielding(orders: Vec<&Record>, mut left: HashSet<Scope>, rule: Rule) -> HashSet<Scope> {
    let mut suspended = HashSet::new();
    for order in by_age(orders) {
        let is_last = left.len() == 1 && left.contains(&order.scope);
        if is_last && !order.may_break(rule) {
            suspended.insert(order.scope.clone());
        } else {
            left.remove(&order.scope);
        }
    }
    suspended
}

fn by_age(mut orders: Vec<&Record>) -> Vec<&Record> {
    orders.sort_by(|a, b| a.created.cmp(&b.created));
    orders
}

#[cfg(test)]
#[path = "suspend_tests.rs"]
mod tests;
