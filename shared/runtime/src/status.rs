//! The process's status, put together from what the data path and the control thread know.

use crate::clock;
use crate::lifecycle::Stage;
use crate::listen::Counts;
use crate::plan::{Action, Plan, Tier};
use crate::process::Process;
use crate::tier::TierProgram;
use crate::upstream::{
    AdmissionSnapshot as Snapshot, Health, Member, Pool, RegionEntry, RegionNote, region_text,
};
use lb_core::config::model::Route;
use lb_core::region::Candidate;
use lb_core::status::{
    AdmissionStatus, CheckStatus, ConfigStatus, EndpointState, EndpointStatus, Lifecycle,
    ListenerStatus, PoolStatus, RegionStatus, RouteStatus, Status, Tier as TierStatus,
};
use lb_core::time::Instant;
use std::sync::Arc;
use std::time::Duration;

/// The state of a pool's member, and why.
pub(crate) fn state_of(member: &Member, now: Instant) -> (EndpointState, String) {
    let endpoint = &member.endpoint;
    if endpoint.is_off() {
        return (EndpointState::Drained, "turned off by order".to_owned());
    }
    if endpoint.is_drained() {
        return (EndpointState::Drained, "by order".to_owned());
    }
    if member.leaves {
        let why = "Kubernetes says that it terminates".to_owned();
        return (EndpointState::Draining, why);
    }
    if member.weight.is_none() {
        return (EndpointState::Drained, "weight 0".to_owned());
    }
    if let Some(until) = endpoint.ejected_until(now) {
        let left = now.until(until).as_secs();
        let conviction = endpoint.standing.conviction();
        let why = conviction.map_or_else(String::new, |conviction| format!("{conviction}; "));
        return (EndpointState::Ejected, format!("{why}back in {left} s"));
    }
    if endpoint.leaves_until(now).is_some() {
        let why = "it says that it leaves (x-lb-draining)".to_owned();
        return (EndpointState::Draining, why);
    }
    let check = endpoint.last_check();
    let failure = check.and_then(|check| check.last.result.failure());
    match endpoint.health() {
        Health::Healthy => in_use(member, now),
        Health::Unknown => (EndpointState::Unknown, "not checked yet".to_owned()),
        Health::Unhealthy => {
            let why = failure.map_or("checks fail".to_owned(), |failure| failure.to_string());
            (EndpointState::Unhealthy, why)
        }
    }
}

/// The state of a member that takes requests, and why it gets less than its weight.
fn in_use(member: &Member, now: Instant) -> (EndpointState, String) {
    let ramp = member.ramp(now);
    let factor = member.endpoint.standing.latency_factor();
    let mut why = Vec::new();
    if ramp < 1.0 {
        let returned = member.endpoint.returned_at(now).unwrap_or(now);
        let since = now.since(returned).as_secs();
        why.push(format!(
            "back since {since} s: {:.0}% of its weight",
            100.0 * ramp
        ));
    }
    if factor < 1.0 {
        why.push(format!(
            "slower than its peers: {:.0}% of its weight",
            100.0 * factor
        ));
    }
    let state = if ramp < 1.0 {
        EndpointState::Ramping
    } else {
        EndpointState::Healthy
    };
    (state, why.join("; "))
}

/// The whole status.
pub(crate) fn status<T: TierProgram>(process: &Process<T>) -> Status {
    let shared = &process.shared;
    let plan = shared.plan.load_full();
    let config = process.reload.config();
    let identity = &plan.identity;
    let regional = identity.tier == Tier::Regional;
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tier: if regional {
            TierStatus::Regional
        } else {
            TierStatus::Global
        },
        replica: identity.replica.clone(),
        region: identity.region.clone(),
        pid: std::process::id(),
        started_unix_ms: process.started_unix_ms,
        uptime_ms: clock::now().as_nanos() / 1_000_000,
        ready: process.readiness().ready,
        lifecycle: match shared.lifecycle.stage() {
            Stage::Starting => Lifecycle::Starting,
            Stage::Serving => Lifecycle::Serving,
            Stage::Leaving => Lifecycle::LameDuck,
            Stage::Closing | Stage::Ending => Lifecycle::Draining,
        },
        threads: u32::try_from(process.threads).unwrap_or(u32::MAX),
        connections: shared.caps.open().into(),
        inflight: shared.requests.in_flight(),
        requests_total: shared.requests.total(),
        failures_total: shared.requests.failed(),
        shed_total: shared.requests.refused(),
        retries_total: plan.pools.iter().map(|pool| pool.metrics.retries()).sum(),
        overload: shared.overload.status(),
        config: process.reload.status(),
        peers_live: shared.peers.live(),
        peers: shared.peers.status(),
        state: shared.orders.status(),
        listeners: process.listeners.iter().map(counted).collect(),
        routes: T::common(&config)
            .routes
            .iter()
            .map(|route| route_status(route, &plan))
            .collect(),
        pools: if regional {
            plan.pools.iter().map(|pool| pool_status(pool)).collect()
        } else {
            Vec::new()
        },
        regions: regions(&plan),
    }
}

fn route_status(route: &Route, plan: &Plan) -> RouteStatus {
    let rule = plan
        .rules
        .iter()
        .find(|rule| rule.name == route.name.as_str());
    let target = match (&route.redirect, &route.pool, rule.map(|rule| &rule.action)) {
        (Some(redirect), _, _) => format!("redirect {}", redirect.status),
        (_, Some(pool), _) => format!("pool {pool}"),
        (_, _, Some(Action::Regions(regions))) => {
            let choice = route.regions.clone().unwrap_or_default();
            let names: Vec<_> = choice.allowed.iter().map(ToString::to_string).collect();
            let names = if names.is_empty() {
                "all regions".to_owned()
            } else {
                names.join(", ")
            };
            format!("{names} by {:?}", regions.order).to_lowercase()
        }
        _ => String::new(),
    };
    RouteStatus {
        name: route.name.to_string(),
        matches: matches(route),
        target,
        requests_total: rule.map_or(0, |rule| rule.metrics.total()),
        failures_total: rule.map_or(0, |rule| rule.metrics.failures()),
        retries_total: rule.map_or(0, |rule| rule.metrics.retries()),
    }
}

fn matches(route: &Route) -> String {
    let conditions = &route.matches;
    let hosts = if conditions.hosts.is_empty() {
        "*".to_owned()
    } else {
        conditions.hosts.join(",")
    };
    let path = match &conditions.path {
        None => "/*".to_owned(),
        Some(path) => match (&path.exact, &path.prefix, &path.regex) {
            (Some(exact), _, _) => exact.clone(),
            (_, Some(prefix), _) => format!("{}/*", prefix.trim_end_matches('/')),
            (_, _, Some(regex)) => format!("~{regex}"),
            _ => "/*".to_owned(),
        },
    };
    let methods = conditions.methods.join(",");
    let headers: Vec<_> = conditions
        .headers
        .iter()
        .map(|header| header.name.as_str())
        .collect();
    let headers = if headers.is_empty() {
        String::new()
    } else {
        format!(" with {}", headers.join(", "))
    };
    format!("{methods} {hosts}{path}{headers}")
        .trim_start()
        .to_owned()
}

fn pool_status(pool: &Pool) -> PoolStatus {
    let view = pool.view();
    let now = clock::now();
    PoolStatus {
        name: pool.spec.name.clone(),
        policy: pool.spec.policy.name().to_owned(),
        protocol: format!("{:?}", pool.spec.protocol).to_lowercase(),
        tls: pool.target.is_tls(),
        panic: view.panic,
        last_resort: view.resorts,
        healthy: count(
            view.members
                .iter()
                .filter(|member| member.is_routable(now))
                .count(),
        ),
        total: count(view.members.len()),
        inflight: view
            .members
            .iter()
            .map(|m| u64::from(m.endpoint.load.in_flight()))
            .sum(),
        requests_total: view.members.iter().map(|m| m.endpoint.counts().0).sum(),
        retries_total: pool.metrics.retries(),
        retries_refused_total: pool.metrics.budget_exhausted.get(),
        trouble: pool.lookups.trouble(),
        admission: admission(&pool.admission.snapshot()),
        endpoints: view
            .members
            .iter()
            .map(|member| endpoint_status(member, now))
            .collect(),
    }
}

fn admission(known: &Snapshot) -> AdmissionStatus {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    AdmissionStatus {
        limit: known.limit,
        phase: known
            .limit
            .map_or("off", |_| known.phase.label())
            .to_owned(),
        inflight: known.in_flight,
        pending: known.pending,
        shed_total: known.shed,
        baseline_ms: known.baseline.map(millis),
        latency_ms: known.latency.map(millis),
    }
}

fn endpoint_status(member: &Member, now: Instant) -> EndpointStatus {
    let endpoint = &member.endpoint;
    let (state, why) = state_of(member, now);
    let (requests, failures) = endpoint.counts();
    let check = endpoint.last_check();
    EndpointStatus {
        server: endpoint.key.server.to_string(),
        address: endpoint.key.address.to_string(),
        zone: member.zone.as_ref().map(ToString::to_string),
        weight: member.weight.map_or(0, |weight| weight.get()),
        state,
        why,
        since_ms: check
            .and_then(|check| check.since)
            .map_or(0, |since| millis(now.since(since))),
        inflight: endpoint.load.in_flight().into(),
        latency_ms: (requests > 0).then(|| endpoint.load.latency(now).as_secs_f64() * 1e3),
        requests_total: requests,
        failures_total: failures,
        consecutive_failures: endpoint.errors.errors(),
        last_check: check.map(|check| CheckStatus {
            ok: check.last.result.failure().is_none(),
            result: check
                .last
                .result
                .failure()
                .map_or("passed".to_owned(), |f| f.to_string()),
            ago_ms: millis(now.since(check.last.at)),
            latency_ms: match check.last.result {
                lb_core::health::ProbeResult::Pass { latency } => latency.as_secs_f64() * 1e3,
                lb_core::health::ProbeResult::Fail { .. } => 0.0,
            },
        }),
        ejected_for_ms: endpoint
            .ejected_until(now)
            .map(|until| millis(now.until(until))),
        ejections_total: endpoint.ejections(),
        share: Some(member.share(now)),
        slow_start: Some(member.ramp(now)).filter(|ramp| *ramp < 1.0),
        latency_factor: Some(endpoint.standing.latency_factor()).filter(|factor| *factor < 1.0),
    }
}

fn regions(plan: &Plan) -> Vec<RegionStatus> {
    let Some(set) = &plan.regions else {
        return Vec::new();
    };
    let view = set.view();
    let known = set.regions.iter().zip(&view.candidates).zip(&view.notes);
    known
        .map(|((entry, candidate), note)| region(entry, candidate, note))
        .collect()
}

fn region(entry: &RegionEntry, candidate: &Candidate, note: &RegionNote) -> RegionStatus {
    let now = clock::now();
    let view = entry.pool.view();
    let summary = entry.summary(now);
    let healthy = view
        .members
        .iter()
        .filter(|member| member.is_routable(now))
        .count();
    let counts = view.members.iter().map(|member| member.endpoint.counts());
    let (requests, failures) = counts.fold((0, 0), |sum, (r, f)| (sum.0 + r, sum.1 + f));
    let share = summary
        .as_ref()
        .map(|summary| summary.healthy_weight_fraction.get());
    let capacity = summary.as_ref().and_then(|summary| summary.capacity_rps);
    RegionStatus {
        name: entry.name.to_string(),
        priority: entry.priority,
        weight: entry.weight,
        capacity_rps: capacity
            .map(|rate| rate.get() as u32)
            .or(entry.capacity_rps),
        state: note.state,
        why: region_text::describe(note, now),
        since_ms: millis(now.since(note.since)),
        ramp: candidate.factors.ramp,
        shift: candidate.factors.shift,
        spill: candidate.factors.spill,
        room: candidate.factors.room,
        spare: candidate.factors.spare,
        healthy_fraction: share,
        report_age_ms: summary.as_ref().map(|summary| millis(summary.age)),
        utilization: summary
            .as_ref()
            .and_then(|s| s.utilization)
            .map(|load| load.get()),
        latency_ms: candidate.latency.map(|latency| latency.as_secs_f64() * 1e3),
        inflight: view
            .members
            .iter()
            .map(|m| u64::from(m.endpoint.load.in_flight()))
            .sum(),
        requests_total: requests,
        failures_total: failures,
        healthy: count(healthy),
        replicas: view
            .members
            .iter()
            .map(|member| endpoint_status(member, now))
            .collect(),
    }
}

/// A listener with its counts of now.
fn counted((listener, counts): &(ListenerStatus, Arc<Counts>)) -> ListenerStatus {
    ListenerStatus {
        connections: counts.open().into(),
        accepted_total: counts.accepted(),
        ..listener.clone()
    }
}

/// A listener as it was bound.
pub(crate) fn listener(
    config: &lb_core::config::model::Listener,
    address: std::net::SocketAddr,
) -> ListenerStatus {
    let protocols = config.effective_protocols();
    let name = |protocol| {
        serde_json::to_value(protocol)
            .ok()?
            .as_str()
            .map(str::to_owned)
    };
    ListenerStatus {
        name: config.name.to_string(),
        address: address.to_string(),
        protocols: protocols.into_iter().filter_map(name).collect(),
        tls: config.tls.is_some(),
        ..ListenerStatus::default()
    }
}

/// The status of a configuration that just went live.
pub(crate) fn live(file: &str, hash: &str, generation: u64) -> ConfigStatus {
    ConfigStatus {
        file: file.to_owned(),
        hash: hash.to_owned(),
        generation,
        loaded_unix_ms: clock::unix_millis(),
        last_reload_ok: true,
        ..ConfigStatus::default()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
