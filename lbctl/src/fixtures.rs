//! Status values for the snapshots of tables: a day on which several things went wrong.

use lb_core::status::*;

fn healthy(server: &str, port: u16) -> EndpointStatus {
    EndpointStatus {
        server: server.to_owned(),
        address: format!("10.1.0.7:{port}"),
        zone: Some("eu-west-a".to_owned()),
        weight: 1,
        state: EndpointState::Healthy,
        since_ms: 93_784_000,
        inflight: 3,
        latency_ms: Some(4.217),
        requests_total: 120_331,
        last_check: Some(CheckStatus {
            ok: true,
            result: "200".to_owned(),
            ago_ms: 412,
            latency_ms: 0.8,
        }),
        share: Some(1.0),
        ..EndpointStatus::default()
    }
}

fn ejected() -> EndpointStatus {
    EndpointStatus {
        state: EndpointState::Ejected,
        why: "5 gateway errors in a row: connection reset".to_owned(),
        since_ms: 4_000,
        inflight: 0,
        failures_total: 17,
        consecutive_failures: 5,
        ejected_for_ms: Some(6_000),
        ejections_total: 2,
        ..healthy("web-2", 8080)
    }
}

fn unhealthy() -> EndpointStatus {
    EndpointStatus {
        state: EndpointState::Unhealthy,
        why: "3 checks in a row failed: connection refused".to_owned(),
        since_ms: 65_000,
        inflight: 0,
        latency_ms: None,
        zone: None,
        last_check: Some(CheckStatus {
            ok: false,
            result: "connection refused".to_owned(),
            ago_ms: 1_020,
            latency_ms: 0.1,
        }),
        ..healthy("web-3", 8081)
    }
}

fn base() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        pid: 4711,
        uptime_ms: 184_500_000,
        ready: true,
        lifecycle: Lifecycle::Serving,
        threads: 2,
        connections: 120,
        inflight: 7,
        requests_total: 1_204_331,
        overload: OverloadStatus {
            level: "normal".to_owned(),
            ..OverloadStatus::default()
        },
        config: ConfigStatus {
            file: "/etc/strata/lb.yaml".to_owned(),
            hash: "1a2b3c4d5e6f".to_owned(),
            generation: 3,
            last_reload_ok: true,
            reloads_total: ReloadCounts { ok: 2, failed: 0 },
            ..ConfigStatus::default()
        },
        listeners: vec![ListenerStatus {
            name: "web".to_owned(),
            address: "0.0.0.0:8080".to_owned(),
            protocols: vec!["http1".to_owned(), "h2c".to_owned()],
            tls: false,
            connections: 120,
            accepted_total: 9_120,
        }],
        ..Status::default()
    }
}

/// A regional replica with a refused file, an ejected and an unhealthy server.
pub(crate) fn regional() -> Status {
    let mut status = Status {
        tier: Tier::Regional,
        replica: "eu-west-1".to_owned(),
        region: Some("eu-west".to_owned()),
        failures_total: 2,
        retries_total: 31,
        routes: vec![RouteStatus {
            name: "all".to_owned(),
            matches: "*".to_owned(),
            target: "pool web".to_owned(),
            requests_total: 1_204_331,
            failures_total: 2,
            retries_total: 31,
        }],
        pools: vec![PoolStatus {
            name: "web".to_owned(),
            policy: "p2c".to_owned(),
            protocol: "http1".to_owned(),
            panic: true,
            healthy: 1,
            total: 3,
            inflight: 3,
            requests_total: 1_204_331,
            retries_total: 31,
            admission: AdmissionStatus {
                limit: Some(18),
                phase: "limited".to_owned(),
                inflight: 17,
                pending: 4,
                shed_total: 209,
                baseline_ms: Some(4.1),
                latency_ms: Some(5.3),
            },
            endpoints: vec![healthy("web-1", 8080), ejected(), unhealthy()],
            ..PoolStatus::default()
        }],
        ..base()
    };
    status.config.last_reload_ok = false;
    status.config.reloads_total.failed = 1;
    status.config.error = Some(vec![ConfigFault {
        file: "/etc/strata/lb.yaml".to_owned(),
        line: 12,
        column: 7,
        reason: "unknown key \"wieght\"".to_owned(),
        hint: Some("did you mean \"weight\"?".to_owned()),
    }]);
    status.config.deferred = vec!["listener web: the address changed".to_owned()];
    status
}

/// A global replica with one region degraded and one out.
pub(crate) fn global() -> Status {
    let region = |name: &str, priority: u32| RegionStatus {
        name: name.to_owned(),
        priority,
        weight: 100,
        capacity_rps: Some(5_000),
        state: RegionState::Healthy,
        since_ms: 93_784_000,
        healthy_fraction: Some(1.0),
        report_age_ms: Some(640),
        utilization: Some(0.412),
        latency_ms: Some(12.4),
        inflight: 20,
        requests_total: 884_120,
        healthy: 2,
        replicas: vec![healthy("r1", 8080), healthy("r2", 8081)],
        ..RegionStatus::default()
    };
    Status {
        tier: Tier::Global,
        replica: "global-1".to_owned(),
        regions: vec![
            RegionStatus {
                state: RegionState::Degraded,
                why: "its report: 60% of its servers".to_owned(),
                since_ms: 12_000,
                healthy_fraction: Some(0.6),
                utilization: Some(0.87),
                ..region("eu-west", 0)
            },
            region("us-east", 1),
            RegionStatus {
                state: RegionState::Unhealthy,
                why: "no replica takes requests".to_owned(),
                since_ms: 65_000,
                healthy_fraction: None,
                report_age_ms: Some(66_010),
                utilization: None,
                capacity_rps: None,
                failures_total: 9,
                healthy: 0,
                inflight: 0,
                replicas: vec![unhealthy()],
                ..region("ap-south", 1)
            },
        ],
        ..base()
    }
}

/// What the global tier says about a request.
pub(crate) fn explained() -> Explain {
    Explain {
        request: "GET http://api.example.com/v1/users".to_owned(),
        steps: vec![
            ExplainStep {
                step: "match routes".to_owned(),
                kept: vec!["api".to_owned()],
                removed: vec![Removed {
                    what: "static".to_owned(),
                    why: "the path is not under /static".to_owned(),
                }],
            },
            ExplainStep {
                step: "order regions by priority".to_owned(),
                kept: vec!["us-east".to_owned(), "ap-south".to_owned()],
                removed: vec![Removed {
                    what: "eu-west".to_owned(),
                    why: "unhealthy: no replica takes requests".to_owned(),
                }],
            },
        ],
        route: Some("api".to_owned()),
        region: Some("us-east".to_owned()),
        endpoint: Some("us-east-1".to_owned()),
        decision: "route api, region us-east, replica us-east-1".to_owned(),
        ..Explain::default()
    }
}
