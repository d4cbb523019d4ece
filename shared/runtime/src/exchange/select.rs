//! The next endpoint for a request.

use super::admission;
use super::request::Request;
use crate::clock;
use crate::plan::Action;
use crate::upstream::{Endpoint, Pool, RegionRoute, cookie};
use lb_core::balance::hash::stable_hash;
use lb_core::config::model::HashOn;
use lb_core::region::{Ask, Choice};
use pingora_http::RequestHeader;
use std::net::IpAddr;
use std::sync::Arc;

impl Request {
    /// Chooses an endpoint that was not tried; `None` when there is none left.
    pub(super) fn select(&mut self) -> Option<Arc<Endpoint>> {
        let rule = self.rule.clone();
        let endpoint = match &rule.action {
            Action::Pool(pool) => self.select_in(pool.clone())?,
            Action::Regions(route) => self.select_in_region(route)?,
            Action::Redirect(_) => return None,
        };
        self.tries.made += 1;
        self.tries.endpoints.push(endpoint.id);
        self.tries.last = Some(endpoint.clone());
        Some(endpoint)
    }

    fn select_in(&mut self, pool: Arc<Pool>) -> Option<Arc<Endpoint>> {
        let (now, key) = (self.now, self.hash_key);
        let pinned = self.pinned_in(&pool);
        let picked = admission::with_room(&pool, &mut self.tries, |tried| {
            let pinned = pinned
                .clone()
                .filter(|endpoint| !tried.contains(&endpoint.id));
            pinned.or_else(|| clock::with_rng(|rng| pool.pick(key, tried, now, rng)))
        });
        self.tries.pool = Some(pool);
        picked
    }

    /// Stays in the region that is being tried while it has replicas left, else moves to the next.
    fn select_in_region(&mut self, route: &RegionRoute) -> Option<Arc<Endpoint>> {
        loop {
            let (index, made) = match self.tries.region {
                Some(current) => current,
                None => {
                    let next = self.next_region(route)?;
                    if let (Some(last), true) =
                        (self.tries.spent_regions.last(), self.tries.made > 0)
                    {
                        route.set.count_failover(*last, next);
                    }
                    (next, 0)
                }
            };
            let entry = route.set.regions.get(index)?;
            let pool = entry.pool.clone();
            self.tries.memory = Some(entry.memory.clone());
            if let Some(endpoint) = self.select_in(pool.clone()).or_else(|| self.resort(&pool)) {
                self.tries.region = Some((index, made + 1));
                return Some(endpoint);
            }
            self.tries.spent_regions.push(index);
            self.tries.region = None;
        }
    }

    /// A replica of a region without a good one. Such a region is chosen only when there is no better,
    /// and that all regions are down at one time is likelier our own mistake.
    fn resort(&self, pool: &Pool) -> Option<Arc<Endpoint>> {
        clock::with_rng(|rng| pool.pick_without_health(&self.tries.endpoints, rng))
    }

    fn next_region(&mut self, route: &RegionRoute) -> Option<usize> {
        let spent = &self.tries.spent_regions;
        let tried = |index: usize| spent.contains(&index);
        let ask = self.ask;
        let choice = clock::with_rng(|rng| route.choose(&ask, self.location, tried, rng));
        let is_first = self.tries.spent_regions.is_empty();
        if self.tries.made == 0 && is_first {
            route.count(&choice);
        }
        match choice {
            // What is full is better than what is down.
            Choice::Region(picked) if picked.last_resort && self.tries.refused_by.is_some() => None,
            Choice::Region(picked) => {
                self.tries.is_guest = !is_first || picked.home != Some(picked.index);
                Some(picked.index)
            }
            Choice::Full(_) => {
                self.tries.found_no_room = true;
                None
            }
            Choice::Exhausted => None,
        }
    }

    /// What the request brings to the choice of a region.
    pub(super) fn ask(&self, route: &RegionRoute, head: &RequestHeader) -> Ask {
        let header = route.set.failover.override_header.as_ref();
        let named = header
            .filter(|_| self.trusted)
            .and_then(|name| head.headers.get(name.as_str()))
            .and_then(|value| value.to_str().ok());
        Ask {
            client: Some(hash_of(self.client)),
            sticky: None,
            demanded: named.and_then(|name| route.position(name)),
            spill: route.spill,
        }
    }

    /// The hash that sticky policies choose by: a header, a cookie, the path, else the client's address.
    pub(super) fn hash(&self, on: &HashOn, head: &RequestHeader) -> u64 {
        let header = on
            .header
            .as_ref()
            .and_then(|name| head.headers.get(name.as_str()));
        if let Some(value) = header {
            return stable_hash(value.as_bytes());
        }
        if let Some(value) = on
            .cookie
            .as_ref()
            .and_then(|name| cookie(&head.headers, name))
        {
            return stable_hash(value.as_bytes());
        }
        if on.path {
            return stable_hash(head.uri.path().as_bytes());
        }
        hash_of(self.client)
    }
}

fn hash_of(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(ip) => stable_hash(&ip.octets()),
        IpAddr::V6(ip) => stable_hash(&ip.octets()),
    }
}
