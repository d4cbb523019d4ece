//! A ring of hashes.
//!
//! **Problem.** The same key to the same endpoint on all replicas, and few keys moved when an
//! endpoint comes or goes.
//!
//! **Choice.** Ketama's ring: each endpoint has many points, a key belongs to the next point. The
//! lightest endpoint has 160 points, as in nginx, and the others in proportion, so that adding an
//! endpoint does not change the number of points of the others (unless it is the lightest). With
//! 160 points shares scatter by 8 %; the load bound ([`super::bounded`]) evens out what is left.
//! The points after a key's own are its next endpoints, for retries and for the bound.
//!
//! **Constant time.** A binary search over half a million points is 19 steps, each likely a cache
//! miss. Points are hashes, so they are spread evenly: a table over the top bits of the position
//! says where to begin, and a few steps in the same cache line reach the point.
//!
//! **Bounded.** At most [`MAX_POINTS`] points (5 MB with the table), or one per endpoint if there
//! are more. Above that, from 3,277 endpoints of equal weight on, points per endpoint shrink with
//! the pool (52 at 10,000: shares scatter by 14 %), and a change moves about twice the keys it
//! must.
//!
//! **Rejected.** Points from MD5 as in the original: slower to build, and no replica here needs to
//! agree with memcached clients.
//!
//! Source: D. Karger et al., "Consistent hashing and random trees", 1997; libketama.

use super::bounded::{Bounded, canonical, walk};
use super::hash::{combine, mix};
use super::{Candidate, EndpointId};

/// Points of the lightest endpoint.
const POINTS: f64 = 160.0;
/// Points of a whole ring.
const MAX_POINTS: f64 = 524_288.0;

/// Points between two entries of the start table, at least; a cache line holds 8.
const POINTS_PER_START: usize = 4;

/// The state of the policy for one set of candidates.
#[derive(Debug)]
pub(super) struct RingHash {
    /// Position in the high half, index in the low half, ascending.
    points: Box<[u64]>,
    /// For each value of a position's top bits, the first point at or above it.
    starts: Box<[u32]>,
    /// How far to shift a position to get its top bits.
    shift: u32,
    bounded: Bounded,
}

// === impl RingHash ===

impl RingHash {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let points = points(candidates);
        let bits = (points.len() / POINTS_PER_START).max(2).ilog2();
        let shift = 32 - bits;
        let mut starts = Vec::with_capacity(1 << bits);
        for (at, point) in points.iter().enumerate() {
            let top = (position(*point) >> shift) as usize;
            while starts.len() <= top {
                starts.push(at as u32);
            }
        }
        starts.resize(1 << bits, points.len() as u32);
        let starts = starts.into_boxed_slice();
        Self {
            points,
            starts,
            shift,
            bounded: Bounded::new(candidates),
        }
    }

    pub(super) fn pick(
        &self,
        candidates: &[Candidate],
        key: u64,
        tried: &[EndpointId],
    ) -> Option<usize> {
        let hash = mix(key);
        let (before, after) = self.points.split_at_checked(self.first(hash))?;
        let probes = after
            .iter()
            .chain(before)
            .map(|point| *point as u32 as usize);
        walk(
            probes,
            candidates,
            tried,
            self.bounded.room(candidates),
            hash,
        )
    }

    /// The first point at or above the position of `hash`; the number of points if there is none.
    fn first(&self, hash: u64) -> usize {
        let position = position(hash);
        let top = (position >> self.shift) as usize;
        let start = self
            .starts
            .get(top)
            .map_or(self.points.len(), |start| *start as usize);
        let rest = self.points.get(start..).unwrap_or_default();
        start
            + rest
                .iter()
                .take_while(|point| self::position(**point) < position)
                .count()
    }
}

fn position(point: u64) -> u32 {
    (point >> 32) as u32
}

/// All points in order. Equal positions are ordered by the canonical rank.
fn points(candidates: &[Candidate]) -> Box<[u64]> {
    let order = canonical(candidates);
    let weight = |at: u32| {
        candidates
            .get(at as usize)
            .map_or(1.0, |c| f64::from(c.weight.get()))
    };
    let lightest = order
        .iter()
        .map(|at| weight(*at))
        .fold(f64::INFINITY, f64::min);
    let sum: f64 = order.iter().map(|at| weight(*at)).sum();
    let per_weight = (POINTS / lightest).min(MAX_POINTS / sum);
    let mut points = Vec::new();
    for (rank, at) in order.iter().enumerate() {
        let key_hash = candidates.get(*at as usize).map_or(0, |c| c.key_hash);
        let count = ((weight(*at) * per_weight).round() as u64).max(1);
        points.extend(
            (0..count)
                .map(|number| (combine(number, key_hash) & !u64::from(u32::MAX)) | rank as u64),
        );
    }
    points.sort_unstable();
    for point in &mut points {
        let at = order
            .get(*point as u32 as usize)
            .copied()
            .unwrap_or_default();
        *point = (*point & !u64::from(u32::MAX)) | u64::from(at);
    }
    points.into_boxed_slice()
}
