//! Zone preference: as much as possible stays in the zone, without overloading it.
//!
//! # Problem
//! Traffic between zones costs money and a millisecond, but zones are rarely even: two servers here, eight there.
//!
//! # Choice
//! A zone's fair share is what it would get if zones did not matter: its part of the weight. Each replica sends to its
//! own zone as long as that zone's load stays within 1.2 × its fair share; what is more goes to the zones that have
//! room left below the same bound, in relation to that room. As the bounds add up to 1.2 of the traffic there is
//! always room. The traffic that starts in a zone is estimated by its share of the replicas of this tier, which
//! all get about the same.
//!
//! # Rejected
//! Strict preference: a zone with one server and half of the replicas would send half of all to it. Envoy's
//! `zone_aware` (bound 1.0) moves traffic for differences nobody would notice.
//!
//! # Limits
//! A replica that gets more than its sisters exceeds the bound by as much. Use weights of routable endpoints
//! only, so that a zone that loses its servers loses its share.

/// One zone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Zone {
    /// Sum of the weights of its routable endpoints.
    pub capacity: f64,
    /// Live replicas of this tier that stand in it.
    pub replicas: u32,
}

/// Where the replicas of one zone send their traffic: the share for each zone, 1.0 in sum. None without any capacity.
///
/// `own` is the place of the zone in `zones`, `bound` the load that a zone may have in relation to its fair share (1.2; below
/// 1.0 it is taken as 1.0). Without a known replica in the own zone, one is assumed.
#[must_use]
pub fn shares(zones: &[Zone], own: usize, bound: f64) -> Option<Vec<f64>> {
    let capacity: f64 = zones.iter().map(|zone| usable(zone.capacity)).sum();
    if capacity <= 0.0 {
        return None;
    }
    let replicas = |at: usize, zone: &Zone| f64::from(zone.replicas.max(u32::from(at == own)));
    let all: f64 = zones
        .iter()
        .enumerate()
        .map(|(at, zone)| replicas(at, zone))
        .sum();
    let bound = if bound > 1.0 { bound } else { 1.0 };
    // Per zone: what starts in it, and what it may carry.
    let flows = zones.iter().enumerate().map(|(at, zone)| {
        let starts = replicas(at, zone) / all.max(1.0);
        (starts, bound * usable(zone.capacity) / capacity)
    });
    let flows: Vec<(f64, f64)> = flows.collect();
    let room: f64 = flows
        .iter()
        .map(|(starts, may)| (may - starts).max(0.0))
        .sum();
    let (starts, may) = flows.get(own).copied().unwrap_or((0.0, 0.0));
    let stays = if starts > 0.0 {
        (may / starts).min(1.0)
    } else {
        0.0
    };
    let leaves = 1.0 - stays;
    let share = |(at, (starts, may)): (usize, &(f64, f64))| {
        let part = if room > 0.0 {
            (may - starts).max(0.0) / room
        } else {
            0.0
        };
        if at == own { stays } else { leaves * part }
    };
    Some(flows.iter().enumerate().map(share).collect())
}

/// The part of the own zone's traffic that stays in it, 0.0 to 1.0.
#[must_use]
pub fn local_fraction(zones: &[Zone], own: usize, bound: f64) -> f64 {
    shares(zones, own, bound)
        .and_then(|all| all.get(own).copied())
        .unwrap_or(0.0)
}

/// What to multiply the weights of a zone's endpoints with, so that plain choice by weight sends `share` to it.
#[must_use]
pub fn weight_factor(zone: &Zone, share: f64, zones: &[Zone]) -> f64 {
    let capacity: f64 = zones.iter().map(|zone| usable(zone.capacity)).sum();
    if usable(zone.capacity) > 0.0 {
        share * capacity / zone.capacity
    } else {
        0.0
    }
}

fn usable(capacity: f64) -> f64 {
    if capacity.is_finite() {
        capacity.max(0.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone(capacity: f64, replicas: u32) -> Zone {
        Zone { capacity, replicas }
    }

    #[test]
    fn even_zones_keep_everything() {
        assert_eq!(
            shares(&[zone(3.0, 1); 3], 1, 1.2),
            Some(vec![0.0, 1.0, 0.0])
        );
    }

    #[test]
    fn a_small_zone_sends_away_what_it_cannot_carry() {
        // A fifth of the weight, half of the traffic: 0.24 of 0.5 stay.
        let zones = [zone(2.0, 1), zone(8.0, 1)];
        let local = local_fraction(&zones, 0, 1.2);
        assert!((local - 0.48).abs() < 1e-9, "{local}");
        assert_eq!(local_fraction(&zones, 1, 1.2), 1.0);
        assert_eq!(local_fraction(&[zone(0.0, 1), zone(5.0, 1)], 0, 1.2), 0.0);
        assert_eq!(shares(&[zone(0.0, 1)], 0, 1.2), None);
    }

    proptest! {
        #[test]
        fn no_zone_is_loaded_beyond_its_bound(
            zones in proptest::collection::vec((0u32..20, 1u32..5), 1..8), bound in 1.0f64..2.0
        ) {
            let zones: Vec<_> = zones.into_iter().map(|(c, r)| zone(f64::from(c), r)).collect();
            let replicas: u32 = zones.iter().map(|z| z.replicas).sum();
            let capacity: f64 = zones.iter().map(|z| z.capacity).sum();
            prop_assume!(capacity > 0.0);
            let mut load = vec![0.0; zones.len()];
            for own in 0..zones.len() {
                let shares = shares(&zones, own, bound).unwrap();
                prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-6);
                for (load, share) in load.iter_mut().zip(shares) {
                    *load += share * f64::from(zones[own].replicas) / f64::from(replicas);
                }
            }
            for (load, zone) in load.iter().zip(&zones) {
                prop_assert!(*load <= bound * zone.capacity / capacity + 1e-6);
            }
        }
    }
}
