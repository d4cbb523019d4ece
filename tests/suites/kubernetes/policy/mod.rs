//! Our own rules: what an API server would take, and an operator would regret.
//!
//! A rule looks at all objects of an overlay and says what is wrong. Each has a name, and `controls` has at least one change for each
//! that it must notice.

mod access;
mod configs;
mod grace;
mod network;
mod pods;
mod rollout;
mod services;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::objects::Objects;
use crate::render;

/// What is wrong, in words.
pub(crate) type Faults = Vec<String>;
type Rule = fn(&Objects) -> Faults;

/// All rules by their names.
pub(crate) const RULES: [(&str, Rule); 22] = [
    ("restricted", pods::restricted),
    ("namespaces", pods::namespaces),
    ("resources", pods::resources),
    ("probes", pods::probes),
    ("identity", pods::identity),
    ("images", pods::images),
    ("replicas", rollout::replicas),
    ("strategy", rollout::strategy),
    ("budget", rollout::budget),
    ("spread", rollout::spread),
    ("autoscaler", rollout::autoscaler),
    ("selectors", rollout::selectors),
    ("grace", grace::grace),
    ("readiness", grace::readiness),
    ("tokens", access::tokens),
    ("roles", access::roles),
    ("secrets", access::secrets),
    ("network", network::covered),
    ("admin", network::admin),
    ("services", services::services),
    ("families", services::families),
    ("mounts", configs::mounts),
];

/// What is wrong, by rule.
pub(crate) fn faults(objects: &Objects) -> BTreeMap<&'static str, Faults> {
    let all = RULES.iter().map(|(name, rule)| (*name, rule(objects)));
    all.filter(|(_, faults)| !faults.is_empty()).collect()
}

#[tokio::test]
async fn every_overlay_keeps_the_rules() -> Result<()> {
    let mut wrong = BTreeMap::new();
    for (name, rendered) in render::all().await? {
        let faults = faults(&rendered.objects);
        if !faults.is_empty() {
            wrong.insert(name, faults);
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
