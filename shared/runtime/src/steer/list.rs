//! `GET /api/v1/drains`: the orders in force, or just over, as this replica carries them out.

use super::server;
use crate::clock;
use crate::worker::Shared;
use lb_core::drain::{Action, DrainStatus, Record, Scope, Stage, Standing};

/// All of them, by scope. An order that is over and done is left out.
pub(crate) fn drains(shared: &Shared) -> Vec<DrainStatus> {
    let now_ms = clock::unix_millis();
    let book = shared.orders.book();
    let status = |record: &Record| match &record.scope {
        Scope::Region(name) => region(shared, name.as_str(), record),
        Scope::Server { .. } => server_status(shared, record, now_ms),
    };
    book.iter().filter_map(status).collect()
}

fn region(shared: &Shared, name: &str, record: &Record) -> Option<DrainStatus> {
    let plan = shared.plan.load();
    let set = plan.regions.as_ref()?;
    let entry = set
        .regions
        .iter()
        .find(|region| region.name.as_str() == name)?;
    let standing: Standing = set.together.orders.standing(name);
    if standing.record.is_none() && !record.is_active(clock::unix_millis()) {
        return None;
    }
    // The step that obeys a new order is some milliseconds away: until then it isn't claimed.
    let obeyed = standing
        .record
        .filter(|obeyed| obeyed.updated == record.updated);
    let view = entry.pool.view();
    let in_flight = view
        .members
        .iter()
        .map(|m| u64::from(m.endpoint.load.in_flight()));
    Some(DrainStatus {
        scope: record.scope.to_string(),
        stage: standing.stage,
        share: standing.share,
        left_ms: standing.left_ms,
        held_by: standing.held_by.map(|region| region.to_string()),
        in_flight: in_flight.sum(),
        record: obeyed,
    })
}

fn server_status(shared: &Shared, record: &Record, now_ms: u64) -> Option<DrainStatus> {
    let Scope::Server { pool, server } = &record.scope else {
        return None;
    };
    if !record.is_active(now_ms) {
        return None;
    }
    let in_flight = server::in_flight(shared, pool.as_str(), server);
    let is_out = server::share(shared, pool.as_str(), server) <= 0.0;
    let is_suspended = server::is_suspended(shared, pool.as_str(), server, now_ms);
    Some(DrainStatus {
        scope: record.scope.to_string(),
        stage: match in_flight {
            _ if is_suspended => Stage::Suspended,
            _ if is_out && record.action == Action::Offline => Stage::Offline,
            0 if is_out => Stage::Drained,
            _ => Stage::Draining,
        },
        share: if is_out { 0.0 } else { 1.0 },
        left_ms: 0,
        held_by: None,
        in_flight,
        record: Some(record.clone()),
    })
}
