//! The grammar of faults.

use crate::setup::Setup;
use rand::{Rng, RngExt};
use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Servers of a region crash: this share of them.
    Crash(f64),
    /// They freeze: accept, and never answer.
    Freeze(f64),
    /// They turn this many times slower.
    Slow(f64, f64),
    /// They answer this share of requests by a 503.
    Errors(f64, f64),
    /// They answer all requests by a 503, at once.
    BlackHole(f64),
    /// This share of the probes of this share of the servers fails.
    Flapping(f64, f64),
    /// One global replica can't reach the region.
    Partition(usize),
    /// All replicas of the region are killed.
    Kill,
    /// All replicas of the region freeze.
    FreezeReplicas,
    /// One replica of the region freezes.
    FreezeOne,
    /// All probes of the region's servers and replicas fail, and the traffic works.
    ChecksFail,
    /// Users' load is this many times higher.
    Load(f64),
    /// Clients that fail try again this often.
    Storm(u8),
    /// Weight 0 for this share of the servers.
    DrainServers(f64),
    /// Weight 0 for the region.
    DrainRegion,
    /// Every process takes in a new configuration.
    Reload,
}

/// A fault with its place and time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// The region; some kinds have none.
    pub region: usize,
    /// After the start.
    pub from: Duration,
    /// After the start.
    pub until: Duration,
}

// === impl Fault ===

impl Fault {
    /// A fault in a region, in whole seconds.
    #[must_use]
    pub const fn new(kind: Kind, region: usize, from: u64, until: u64) -> Self {
        Self {
            kind,
            region,
            from: Duration::from_secs(from),
            until: Duration::from_secs(until),
        }
    }

    /// A fault that begins between 10 s and 25 s and lasts up to 20 s.
    pub fn draw(setup: &Setup, rng: &mut impl Rng) -> Self {
        let from = rng.random_range(10_000..25_000);
        let until = from + rng.random_range(500..20_000);
        let share = rng.random_range(0.1..=1.0);
        let kind = match rng.random_range(0..16) {
            0 => Kind::Crash(share),
            1 => Kind::Freeze(share),
            2 => Kind::Slow(share, rng.random_range(2.0..20.0)),
            3 => Kind::Errors(share, rng.random_range(0.1..=1.0)),
            4 => Kind::BlackHole(share),
            5 => Kind::Flapping(share, rng.random_range(0.2..=1.0)),
            6 => Kind::Partition(rng.random_range(0..setup.globals)),
            7 => Kind::Kill,
            8 => Kind::FreezeReplicas,
            9 => Kind::FreezeOne,
            10 => Kind::ChecksFail,
            11 => Kind::Load(rng.random_range(1.2..3.0)),
            12 => Kind::Storm(rng.random_range(1..5)),
            13 => Kind::DrainServers(share),
            14 => Kind::DrainRegion,
            _ => Kind::Reload,
        };
        Self {
            kind,
            region: rng.random_range(0..setup.regions),
            from: Duration::from_millis(from),
            until: Duration::from_millis(until),
        }
    }
}
