//! Orders on regions: who takes the requests, and whether they can.

use super::{Check, unknown};
use crate::admin::Written;
use crate::clock;
use crate::plan::{Action, Plan};
use crate::upstream::{RegionEntry, RegionSet};
use crate::worker::Shared;
use lb_core::drain::{Place, Record, Scope, preflight};
use lb_core::region::Candidate;

/// Below this utilisation, rate over utilisation says nothing of capacity.
const TELLING: f64 = 0.10;

/// The region of a name.
pub(super) fn find(shared: &Shared, name: &str) -> Result<Scope, Written> {
    let plan = shared.plan.load();
    let regions = || plan.regions.iter().flat_map(|set| &set.regions);
    let found = regions().find(|region| region.name.as_str() == name);
    found.map(RegionEntry::scope).ok_or_else(|| {
        let names: Vec<String> = regions().map(|region| region.name.to_string()).collect();
        unknown(&format!("region \"{name}\""), &names)
    })
}

/// The share of its requests that it keeps now, 0 to 1.
pub(super) fn share(shared: &Shared, name: &str) -> f64 {
    let plan = shared.plan.load();
    let set = plan.regions.as_ref();
    set.map_or(1.0, |set| set.together.orders.standing(name).share)
}

/// What an order would do to the others. `has` is the share that the region keeps now.
pub(super) fn check(shared: &Shared, name: &str, record: &Record, has: f64) -> Check {
    let plan = shared.plan.load();
    let Some(set) = &plan.regions else {
        return Check::default();
    };
    let keep = f64::from(record.keep_percent) / 100.0;
    // What it has now is what is asked of it; of that it keeps this.
    let keep = if has > 0.0 {
        (keep / has).min(1.0)
    } else {
        1.0
    };
    let index = set
        .regions
        .iter()
        .position(|region| region.name.as_str() == name);
    let forecast = index.and_then(|index| {
        let places = places(&plan, set, index);
        preflight(&places, index, keep)
    });
    Check {
        refusals: forecast
            .as_ref()
            .map_or_else(Vec::new, |f| f.refusals.clone()),
        forecast,
    }
}

fn places(plan: &Plan, set: &RegionSet, index: usize) -> Vec<Place> {
    let inherits = inherits(plan, set, index);
    let view = set.view();
    let regions = set.regions.iter().zip(&view.candidates).zip(inherits);
    regions
        .map(|((region, candidate), inherits)| place(set, region, candidate, inherits))
        .collect()
}

fn place(set: &RegionSet, region: &RegionEntry, candidate: &Candidate, inherits: f64) -> Place {
    let summary = region.summary(clock::now());
    let rps = summary.map(|s| s.rps.get());
    let told = summary
        .and_then(|s| s.capacity_rps)
        .map(|capacity| capacity.get());
    let derived = || {
        let utilization = summary?.utilization?.get();
        (utilization >= TELLING).then_some(rps? / utilization)
    };
    let configured = region.capacity_rps.map(f64::from);
    Place {
        name: region.name.clone(),
        takes: candidate.is_usable(),
        demand_rps: set.together.orders.demand(region.name.as_str()).or(rps),
        capacity_rps: told.or(configured).or_else(derived),
        // Who never reports can't be late.
        is_fresh: summary.is_some() || !region.memory.has_reported(),
        inherits,
    }
}

/// The share of new users that each region gets when the one at `index` is out, summed over the routes.
fn inherits(plan: &Plan, set: &RegionSet, index: usize) -> Vec<f64> {
    let mut candidates = set.view().candidates.clone();
    if let Some(out) = candidates.get_mut(index) {
        out.factors.dial = 0.0;
    }
    let mut sum = vec![0.0; candidates.len()];
    for rule in &plan.rules {
        if let Action::Regions(route) = &rule.action {
            let homes = route.rank(&set.view(), None).homes(&candidates);
            sum.iter_mut()
                .zip(homes)
                .for_each(|(sum, home)| *sum += home);
        }
    }
    sum
}
