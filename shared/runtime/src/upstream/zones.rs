//! Servers of the own zone first.
//!
//! Core's `zone` says which share of this replica's requests each zone gets; here that becomes the set of endpoints that a
//! request chooses from, and their weights. Zones without a share are left out. A retry
//! goes to another zone first, as a zone is what fails as a whole, and stays when there is none.
//!
//! **Hash policies** are exempt: replicas in different zones would send the same key to different servers.
//!
//! **Limits.** How many replicas stand in which zone is not known here; as many in each zone with servers is assumed. Servers
//! without a zone count as one more zone.

use super::spread::Part;
use crate::build::PoolSpec;
use lb_core::name::ZoneName;
use lb_core::zone::{Zone, shares, weight_factor};

/// What requests choose from when zones matter.
pub(super) struct Split<'m> {
    /// What this replica's requests choose from, with their shares.
    pub(super) near: Vec<Part<'m>>,
    /// All of other zones.
    pub(super) far: Vec<Part<'m>>,
}

/// The endpoints by zone; none when zones don't matter: no zone is known, the servers all stand in one, or none
/// stands in ours.
pub(super) fn split<'m>(spec: &PoolSpec, parts: &[Part<'m>]) -> Option<Split<'m>> {
    let own = spec.zone.as_ref()?;
    if !spec.zone_preference.enabled || spec.policy.needs_key() {
        return None;
    }
    let zone_of = |part: &Part<'_>| part.member.zone.clone();
    let mut names: Vec<Option<ZoneName>> = parts.iter().map(zone_of).collect();
    names.sort();
    names.dedup();
    let here = names.iter().position(|name| name.as_ref() == Some(own))?;
    let weight = |part: &Part<'_>| f64::from(part.weight.get());
    let zones: Vec<Zone> = names
        .iter()
        .map(|name| Zone {
            capacity: parts
                .iter()
                .filter(|part| zone_of(part) == *name)
                .map(|part| weight(part) * part.share)
                .sum(),
            replicas: 1,
        })
        .collect();
    if zones.len() < 2 {
        return None;
    }
    let shares = shares(&zones, here, spec.zone_preference.max_load)?;
    let factor = |part: &Part<'_>| {
        let at = names.iter().position(|name| *name == zone_of(part))?;
        Some(weight_factor(zones.get(at)?, *shares.get(at)?, &zones))
    };
    let near = parts.iter().filter_map(|part| {
        let share = part.share * factor(part)?;
        (share > 0.0).then_some(Part {
            member: part.member,
            weight: part.weight,
            share,
        })
    });
    let near: Vec<Part<'m>> = near.collect();
    let abroad = |part: &&Part<'_>| part.member.zone.as_ref() != Some(own);
    let far = parts.iter().filter(abroad).map(|part| Part {
        member: part.member,
        weight: part.weight,
        share: part.share,
    });
    let far = far.collect();
    (!near.is_empty()).then_some(Split { near, far })
}
