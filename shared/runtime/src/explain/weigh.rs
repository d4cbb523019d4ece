//! Why an endpoint that is routable gets less than its weight.

use crate::status::state_of;
use crate::upstream::{Endpoint, Member, Pool, PoolView};
use lb_core::status::{ExplainStep, Removed};
use lb_core::time::Instant;
use std::sync::Arc;

/// Who gets less than its weight, when someone does.
pub(super) fn weigh(view: &PoolView, now: Instant) -> Option<ExplainStep> {
    let routable = |member: &&Member| {
        let id = member.endpoint.id;
        view.endpoints().iter().any(|endpoint| endpoint.id == id)
    };
    let held_back = |member: &&Member| member.share(now) < 1.0;
    if view.panic || !view.members.iter().filter(routable).any(|m| held_back(&m)) {
        return None;
    }
    let told = view.members.iter().filter(routable).map(|member| {
        let server = &member.endpoint.key.server;
        match state_of(member, now) {
            (_, why) if why.is_empty() => server.to_string(),
            (_, why) => format!("{server} ({why})"),
        }
    });
    Some(ExplainStep {
        step: "weigh: who is back or slow gets less".to_owned(),
        kept: told.collect(),
        removed: Vec::new(),
    })
}

/// Who is nearer, when zones matter.
pub(super) fn prefer_zone(pool: &Pool, view: &PoolView) -> Option<ExplainStep> {
    let (near, zone) = (view.preferred()?, pool.spec.zone.as_ref()?);
    let name = |endpoint: &Arc<Endpoint>| endpoint.key.server.to_string();
    let far = |endpoint: &&Arc<Endpoint>| near.iter().all(|one| one.id != endpoint.id);
    Some(ExplainStep {
        step: format!("prefer zone {zone}"),
        kept: near.iter().map(name).collect(),
        removed: view
            .endpoints()
            .iter()
            .filter(far)
            .map(|endpoint| Removed {
                what: name(endpoint),
                why: "another zone, and ours has room".to_owned(),
            })
            .collect(),
    })
}
