//! Probes, reports and control threads.

use super::World;
use crate::global::Report;

// === impl World ===

impl World {
    /// Every process probes everything below it.
    pub(super) fn probe(&mut self) {
        let (now, rng) = (self.now, &mut self.rng);
        for place in &mut self.places {
            for replica in &mut place.replicas {
                if replica.crashed || replica.frozen {
                    continue;
                }
                for (at, server) in place.servers.iter().enumerate() {
                    let passed = !place.checks_fail && server.passes(rng);
                    replica.pool.on_probe(at, passed, now);
                }
            }
        }
        for (global, cut) in self.globals.iter_mut().zip(&self.cut) {
            for ((region, place), cut) in global.regions.iter_mut().zip(&self.places).zip(cut) {
                for (at, replica) in place.replicas.iter().enumerate() {
                    let dead = replica.crashed || replica.frozen || place.checks_fail || *cut;
                    region.pool.on_probe(at, !dead, now);
                }
            }
        }
    }

    /// Every region reports to every global replica that it reaches.
    pub(super) fn report(&mut self) {
        let capacity = self.setup.region_capacity();
        for (at, place) in self.places.iter_mut().enumerate() {
            let (mut requests, mut shed, mut healthy, mut alive) = (0, 0, 0.0, 0.0);
            for replica in &mut place.replicas {
                let window = replica.window.iter();
                let (took, refused) = window.fold((0, 0), |(a, b), (x, y)| (a + x, b + y));
                requests += took;
                shed += refused;
                replica.window.rotate_right(1);
                replica.window[0] = (0, 0);
                if !(replica.crashed || replica.frozen) {
                    healthy += replica.pool.healthy;
                    alive += 1.0;
                }
            }
            if alive == 0.0 {
                continue;
            }
            let report = Report {
                healthy: healthy / alive,
                rps: requests as f64,
                capacity,
                shed: shed as f64 / requests.max(1) as f64,
                at: self.now,
            };
            for (global, cut) in self.globals.iter_mut().zip(&self.cut) {
                if !cut[at] {
                    global.regions[at].report = Some(report);
                }
            }
        }
    }

    /// Every control thread runs.
    pub(super) fn control(&mut self) {
        let (now, rng) = (self.now, &mut self.rng);
        for place in &mut self.places {
            for replica in &mut place.replicas {
                replica.pool.refresh(now);
            }
        }
        for global in &mut self.globals {
            global.control(now, rng);
        }
    }
}
