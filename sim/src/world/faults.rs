//! Faults begin and end.

use super::{Place, World};
use crate::fault::Kind;
use crate::server::Server;
use lb_core::time::Instant;
use rand::seq::SliceRandom;

// === impl World ===

impl World {
    pub(super) fn apply(&mut self, at: usize, begin: bool) {
        let fault = self.faults[at];
        self.ledger.note(at as u64 ^ u64::from(begin) << 32);
        let region = fault.region;
        let place = &mut self.places[region];
        match fault.kind {
            Kind::Partition(global) => self.cut[global][region] = begin,
            Kind::Kill => place.each_replica(|crashed, _| *crashed = begin),
            Kind::FreezeReplicas => place.each_replica(|_, frozen| *frozen = begin),
            Kind::FreezeOne => place.replicas[0].frozen = begin,
            Kind::ChecksFail => place.checks_fail = begin,
            Kind::Load(times) => self.load = if begin { times } else { 1.0 },
            Kind::Storm(tries) => self.storm = if begin { tries } else { 0 },
            Kind::DrainRegion => {
                for global in &mut self.globals {
                    global.regions[region].drained = begin;
                }
            }
            Kind::Reload => self.reload(),
            Kind::Crash(share)
            | Kind::Freeze(share)
            | Kind::Slow(share, _)
            | Kind::Errors(share, _)
            | Kind::BlackHole(share)
            | Kind::Flapping(share, _)
            | Kind::DrainServers(share) => {
                if begin {
                    self.choose(at, region, share);
                }
                for server in self.hit[at].clone() {
                    self.strike(fault.kind, region, server, begin);
                }
            }
        }
    }

    fn choose(&mut self, at: usize, region: usize, share: f64) {
        let total = self.places[region].servers.len();
        let mut all: Vec<usize> = (0..total).collect();
        all.shuffle(&mut self.rng);
        all.truncate(((share * total as f64).ceil() as usize).clamp(1, total));
        self.hit[at] = all;
    }

    fn strike(&mut self, kind: Kind, region: usize, at: usize, begin: bool) {
        let place = &mut self.places[region];
        place.servers[at].strike(kind, begin, self.now);
        if matches!(kind, Kind::DrainServers(_)) {
            for replica in &mut place.replicas {
                replica.pool.drain(at, begin);
            }
        }
    }

    fn reload(&mut self) {
        let replicas = self.places.iter_mut().flat_map(|place| &mut place.replicas);
        replicas.for_each(|replica| replica.pool.reload());
        for region in self
            .globals
            .iter_mut()
            .flat_map(|global| &mut global.regions)
        {
            region.pool.reload();
        }
    }
}

// === impl Place ===

impl Place {
    fn each_replica(&mut self, change: impl Fn(&mut bool, &mut bool)) {
        for replica in &mut self.replicas {
            change(&mut replica.crashed, &mut replica.frozen);
        }
    }
}

// === impl Server ===

impl Server {
    fn strike(&mut self, kind: Kind, begin: bool, now: Instant) {
        match kind {
            Kind::Crash(_) if begin => self.crash(),
            Kind::Crash(_) => self.crashed = false,
            Kind::Freeze(_) => self.frozen = begin,
            Kind::Slow(_, times) => self.slow = if begin { times } else { 1.0 },
            Kind::Errors(_, share) => self.errors = if begin { share } else { 0.0 },
            Kind::BlackHole(_) => self.black_hole = begin,
            Kind::Flapping(_, share) => self.flapping = if begin { share } else { 0.0 },
            Kind::DrainServers(_) => {
                self.drained = begin;
                self.drained_at = now;
            }
            _ => {}
        }
    }
}
