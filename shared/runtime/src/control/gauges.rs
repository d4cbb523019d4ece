//! Gauges that follow a state: brought up to date once a second.

use crate::build::{PoolSpec, Site};
use crate::clock;
use crate::metrics::EndpointMetrics;
use crate::status;
use crate::steer;
use crate::worker::Shared;
use lb_core::drain::Stage;
use lb_core::status::{EndpointState, RegionState};
use lb_core::time::Instant;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

/// The series that were written, so that those of a server that is gone can be taken out.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    servers: HashSet<(String, String)>,
    /// Pools whose servers are found.
    found: HashSet<String>,
}

// === impl Gauges ===

impl Gauges {
    pub(super) fn export(&mut self, shared: &Shared, site: &Site) {
        let families = &site.metrics.families;
        let plan = shared.plan.load();
        let now = clock::now();
        families.peers_live.set(site.peers.live().into());
        families.uptime.set(now.as_nanos() as f64 / 1e9);
        families
            .connections
            .with_label_values(&["open"])
            .set(shared.caps.open().into());
        let orders = steer::drains(shared);
        let suspended = orders.iter().filter(|o| o.stage == Stage::Suspended);
        let suspended = i64::try_from(suspended.count());
        families.orders_suspended.set(suspended.unwrap_or(i64::MAX));
        let (mut seen, mut found) = (HashSet::new(), HashSet::new());
        for pool in &plan.pools {
            let view = pool.view();
            let name = pool.spec.name.as_str();
            if let Some(at) = last_sync(site, &pool.spec, now) {
                let last_sync = &families.discovery_last_sync;
                last_sync.with_label_values(&[name]).set(at);
                found.insert(name.to_owned());
            }
            pool.admission.export();
            let in_flight = view
                .members
                .iter()
                .map(|m| i64::from(m.endpoint.load.in_flight()))
                .sum();
            pool.metrics.inflight.set(in_flight);
            for member in &view.members {
                let server = member.endpoint.key.server.as_str();
                let weight = member.weight.map_or(0, |weight| weight.get());
                families
                    .server_weight
                    .with_label_values(&[name, server])
                    .set(weight.into());
                families
                    .server_share
                    .with_label_values(&[name, server])
                    .set(member.share(now));
                let is = status::state_of(member, now).0;
                for state in EndpointState::ALL {
                    let value = i64::from(state == is);
                    families
                        .server_state
                        .with_label_values(&[name, server, state.as_str()])
                        .set(value);
                }
                seen.insert((name.to_owned(), server.to_owned()));
            }
        }
        for (pool, server) in self.servers.difference(&seen) {
            let _ = families.server_weight.remove_label_values(&[pool, server]);
            let _ = families.server_share.remove_label_values(&[pool, server]);
            EndpointMetrics::forget(families, pool, server);
            for state in EndpointState::ALL {
                let _ = families
                    .server_state
                    .remove_label_values(&[pool, server, state.as_str()]);
            }
        }
        self.servers = seen;
        // Else a pool that is gone would look as if it had not been heard of for long.
        for pool in self.found.difference(&found) {
            let _ = families.discovery_last_sync.remove_label_values(&[pool]);
        }
        self.found = found;
        let Some(regions) = &plan.regions else { return };
        families
            .region_isolated
            .set(i64::from(regions.together.is_isolated()));
        let view = regions.view();
        let known = view.candidates.iter().zip(&view.notes);
        for (region, (candidate, note)) in regions.regions.iter().zip(known) {
            for state in RegionState::ALL {
                let labels = [region.name.as_str(), state.as_str()];
                families
                    .region_state
                    .with_label_values(&labels)
                    .set(i64::from(state == note.state));
            }
            let factors = &candidate.factors;
            for (kind, share) in [
                ("dial", factors.dial),
                ("ramp", factors.ramp),
                ("shift", factors.shift),
                ("spill", factors.spill),
                ("room", factors.room),
                ("spare", factors.spare),
            ] {
                let labels = [region.name.as_str(), kind];
                families.region_share.with_label_values(&labels).set(share);
            }
            if let Some(summary) = region.summary(now) {
                let age = families
                    .region_report_age
                    .with_label_values(&[region.name.as_str()]);
                age.set(summary.age.as_secs_f64());
            }
        }
    }
}

/// When the names of a pool were last resolved, or the slices of its Services heard of, in seconds since 1970: the oldest counts, and 0
/// is never. None for literal addresses.
fn last_sync(site: &Site, spec: &PoolSpec, now: Instant) -> Option<f64> {
    let names = spec
        .members
        .iter()
        .filter(|member| member.address.parse::<SocketAddr>().is_err());
    let names = names.map(|member| site.lookups(&member.address).age(now));
    let services = spec.services.iter();
    let services = services.map(|_| site.services(&spec.name).age(now));
    let at = |age: Duration| clock::unix_millis() as f64 / 1e3 - age.as_secs_f64();
    let times = names.chain(services).map(|age| age.map_or(0.0, at));
    times.reduce(f64::min)
}
