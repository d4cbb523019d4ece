//! The table of all metric families.

use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, Result,
};

/// Upper bounds of request and upstream durations, in seconds.
const DURATION: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Upper bounds of the proxy's own share, in seconds.
const OVERHEAD: &[f64] = &[
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1,
];

macro_rules! families {
    ($($(#[$doc:meta])* $field:ident: $kind:ident($name:literal, $help:literal $(, $arg:expr)*);)+) => {
        /// Every metric family.
        #[derive(Debug, Clone)]
        pub struct Families {
            $(#[doc = $help] pub $field: $kind,)+
        }

        impl Families {
            pub(super) fn register(registry: &Registry) -> Result<Self> {
                let families = Self { $($field: build::$kind($name, $help $(, $arg)*)?,)+ };
                $(registry.register(Box::new(families.$field.clone()))?;)+
                Ok(families)
            }

            /// Names and help texts of all families, without the `lb_` prefix.
            #[must_use]
            pub fn table() -> &'static [(&'static str, &'static str)] {
                &[$(($name, $help)),+]
            }
        }
    };
}

families! {
    requests: IntCounterVec("requests_total", "Requests answered, by route, pool, status and method.", &["route", "pool", "code", "method"]);
    request_duration: HistogramVec("request_duration_seconds", "From a request's head to the end of its response.", &["route", "pool", "class"], DURATION);
    overhead: HistogramVec("overhead_seconds", "The proxy's own share of a request: its duration less the wait for the upstream's response head and body.", &["route"], OVERHEAD);
    rejected: IntCounterVec("rejected_total", "Requests that this replica refused or failed, by reason.", &["reason"]);
    connections: IntGaugeVec("connections", "Client connections, by state.", &["state"]);
    connections_refused: IntCounterVec("connections_refused_total", "Client connections that were closed at once, by limit.", &["limit"]);
    inflight: IntGaugeVec("inflight_requests", "Requests that a pool is serving.", &["pool"]);
    shed: IntCounterVec("shed_total", "Requests refused for want of room, by pool, priority and cause.", &["pool", "priority", "cause"]);
    concurrency_limit: IntGaugeVec("concurrency_limit", "Requests that may wait for their response's head at a time; 0 when the adaptive limit is off.", &["pool"]);
    concurrency_inflight: IntGaugeVec("concurrency_inflight", "Requests that wait for their response's head.", &["pool"]);
    concurrency_limited: IntGaugeVec("concurrency_limited", "1 while the adaptive limit holds requests back.", &["pool"]);
    pending: IntGaugeVec("pending_requests", "Requests that wait for a place in the pool.", &["pool"]);
    rate_limited: IntCounterVec("rate_limited_total", "Requests refused by a route's rate limit.", &["route"]);
    peers_live: IntGauge("peers_live", "Sister replicas that are alive and share the rate limits with this one.");
    state_age: Gauge("state_age_seconds", "Time since all peers that share orders, or the store of orders, were last heard of.");
    state_sync: IntCounterVec("state_sync_total", "Questions to peers or the store about orders, by result.", &["result"]);
    state_durable: IntGauge("state_durable", "1 while orders survive a restart of this replica.");
    orders_suspended: IntGauge("orders_suspended", "Orders that this replica does not obey, as they would take the last region or server with the earlier ones.");
    state_clock_skew: Gauge("state_clock_skew_seconds", "How far the peer, or store, that differs most is ahead of this replica's clock; negative: behind.");
    state_faults: IntGauge("state_faults", "Faults of the file, the peers or the store of orders; the status names them.");
    drain_aborted: IntCounter("drain_aborted_requests_total", "Requests that were cut off when this process ended.");
    drain_inflight: IntGauge("drain_inflight", "Requests in flight while this process leaves; 0 before.");
    drain_progress: Gauge("drain_progress_ratio", "Share of the time that this process has to leave which is over; 0 before.");
    drain_parted: IntCounterVec("drain_parted_streams_total", "Streams that were told to end when this process left, by kind.", &["kind"]);
    upgrades: IntCounterVec("upgrades_total", "Upgrades in place that this process took part in, by how they ended.", &["result"]);
    overload_level: IntGauge("overload_level", "What this process does less: 0 nothing, 1 keep-alive is off, 2 new work is refused.");
    event_loop_lag: Gauge("event_loop_lag_seconds", "Largest lag of an event loop since the last look, a second ago.");
    memory_used: Gauge("memory_used_bytes", "Memory in use, which the kernel can't take back.");
    memory_limit: Gauge("memory_limit_bytes", "Memory that this process may take; 0 when no limit is known.");
    upstream_duration: HistogramVec("upstream_duration_seconds", "From sending a request to an endpoint to its response's head.", &["pool"], DURATION);
    upstream_connect: HistogramVec("upstream_connect_seconds", "Opening a connection to an endpoint.", &["pool"], DURATION);
    upstream_requests: IntCounterVec("upstream_requests_total", "Tries at an endpoint, by class of their outcome.", &["pool", "server", "class"]);
    retries: IntCounterVec("retries_total", "Tries after the first, by the failure before.", &["pool", "reason"]);
    retry_budget_exhausted: IntCounterVec("retry_budget_exhausted_total", "Retries that the budget refused.", &["pool"]);
    failovers: IntCounterVec("failovers_total", "Requests that were retried in another region.", &["from", "to"]);
    health_checks: IntCounterVec("health_checks_total", "Active checks, by result.", &["pool", "result"]);
    health_transitions: IntCounterVec("health_transitions_total", "Changes of an endpoint's health, by the new state.", &["pool", "reason"]);
    ejections: IntCounterVec("ejections_total", "Outlier ejections, by what convicted.", &["pool", "reason"]);
    affinity: IntCounterVec("affinity_total", "Responses of pools with a cookie, by what became of the user.", &["pool", "result"]);
    mirrored: IntCounterVec("mirrored_total", "Copies of requests to another pool, by what became of them.", &["route", "result"]);
    faults_injected: IntCounterVec("faults_injected_total", "Requests that a drill disturbed, by how.", &["route", "kind"]);
    server_share: GaugeVec("server_share", "The part of its weight that slow start and its latency leave a server.", &["pool", "server"]);
    server_state: IntGaugeVec("server_state", "1 for the state that a server is in.", &["pool", "server", "state"]);
    server_weight: IntGaugeVec("server_weight", "A server's configured weight.", &["pool", "server"]);
    pool_healthy_ratio: GaugeVec("pool_healthy_ratio", "Share of a pool's weight that is routable.", &["pool"]);
    pool_last_resort: IntGaugeVec("pool_last_resort", "1 while servers that operators drained take a pool's requests, as no other can.", &["pool"]);
    pool_panic: IntGaugeVec("pool_panic", "1 while a pool ignores health because too little of it is routable.", &["pool"]);
    region_state: IntGaugeVec("region_state", "1 for the state that a region is in.", &["target", "state"]);
    region_transitions: IntCounterVec("region_transitions_total", "Changes of a region's state, by the state after and the reason.", &["target", "state", "reason"]);
    region_share: GaugeVec("region_share_ratio", "What scales a region's part: kind dial (ordered), ramp, shift (slow), spill (given away), room (for requests of regions that are out) or spare (for spilled ones).", &["target", "kind"]);
    region_isolated: IntGauge("region_isolated", "1 while this replica takes itself to be cut off from the regions.");
    region_report_age: GaugeVec("region_report_age_seconds", "Age of a region's last report.", &["target"]);
    config_info: IntGaugeVec("config_info", "1 for the configuration that serves.", &["hash"]);
    config_last_reload_successful: IntGauge("config_last_reload_successful", "1 when the last reload went live, 0 when it was refused.");
    config_reloads: IntCounterVec("config_reloads_total", "Reloads, by result.", &["result"]);
    config_generation: IntGauge("config_generation", "How many configurations have served.");
    discovery_last_sync: GaugeVec("discovery_last_sync_timestamp_seconds", "When a server's name was last resolved, or the slices of its Service heard of, in seconds since 1970.", &["pool"]);
    discovery_lists: IntCounterVec("discovery_lists_total", "Lists of servers that were made of the slices of a pool's Services.", &["pool"]);
    cert_not_after: GaugeVec("cert_not_after_seconds", "When a certificate expires, in seconds since 1970.", &["name"]);
    log_dropped: IntCounter("log_dropped_total", "Access log lines dropped because the writer was behind.");
    uptime: Gauge("uptime_seconds", "Time since the process started.");
    build_info: IntGaugeVec("build_info", "1, with the version as a label.", &["version"]);
}

#[expect(
    non_snake_case,
    reason = "named after the types that they build, for the macro above"
)]
mod build {
    use super::*;

    pub(super) fn IntCounter(name: &str, help: &str) -> Result<IntCounter> {
        IntCounter::new(name, help)
    }

    pub(super) fn IntGauge(name: &str, help: &str) -> Result<IntGauge> {
        IntGauge::new(name, help)
    }

    pub(super) fn Gauge(name: &str, help: &str) -> Result<Gauge> {
        Gauge::new(name, help)
    }

    pub(super) fn IntCounterVec(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        IntCounterVec::new(Opts::new(name, help), labels)
    }

    pub(super) fn IntGaugeVec(name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        IntGaugeVec::new(Opts::new(name, help), labels)
    }

    pub(super) fn GaugeVec(name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec> {
        GaugeVec::new(Opts::new(name, help), labels)
    }

    pub(super) fn HistogramVec(
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec> {
        HistogramVec::new(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
            labels,
        )
    }
}
