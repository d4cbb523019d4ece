//! The load generator: closed loop, open loop and idle connections.
//!
//! One thread and one epoll instance (through mio) drive all connections, because the generator
//! shares its core with the test servers and must never be the bottleneck. Rejected: tokio, whose
//! tasks and wakers cost about as much per request as the socket calls; and `wrk`, which is as cheap
//! but has no open loop, no histogram in its output and no hook between warm-up and measurement for
//! reading the proxy's CPU time. The generator's own use of its core is part of every result, so a
//! run in which it was the limit shows.

pub(crate) mod closed;
mod connection;
mod fleet;
pub(crate) mod idle;
pub(crate) mod open;

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Whom to ask for what.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Address of the proxy, or of a test server.
    pub(crate) address: SocketAddr,
    /// The request's bytes.
    pub(crate) request: Vec<u8>,
}

/// Quantiles of a set of waiting times, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Latency {
    /// Half of the answers were at least this fast.
    pub(crate) p50_us: f64,
    /// 99 of 100 answers were at least this fast.
    pub(crate) p99_us: f64,
    /// The slowest answer.
    pub(crate) max_us: f64,
}

/// Waiting times from 1 µs to 60 s with three significant digits; slower ones count as 60 s.
pub(crate) struct Waits(Histogram<u64>);

// === impl Target ===

impl Target {
    /// A plain `GET` as a browser-like client would send it over a kept-alive connection.
    pub(crate) fn get(address: SocketAddr) -> Self {
        let head = "GET /bench HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: strata-bench\r\n\
                    Accept: */*\r\n\r\n";
        Self {
            address,
            request: head.as_bytes().to_vec(),
        }
    }
}

// === impl Waits ===

impl Waits {
    /// An empty histogram. Fails only if its bounds are impossible.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?))
    }

    /// Adds one waiting time.
    pub(crate) fn record(&mut self, wait: Duration) {
        self.0
            .saturating_record(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The quantiles so far; `None` when nothing was recorded.
    pub(crate) fn latency(&self) -> Option<Latency> {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        (!self.0.is_empty()).then(|| Latency {
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: self.0.max() as f64 / 1e3,
        })
    }
}
