//! Limits against clients that are slow, greedy or hostile.

use crate::config::scalar::{ByteSize, DurationText, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits of all listeners. Each has a safe default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Time for the whole request head, from its first byte. Later: 408.
    pub header_timeout: DurationText,
    /// How long a connection may be idle between two requests.
    pub keepalive_timeout: DurationText,
    /// Requests on one HTTP/1.1 connection before it is closed; 0 means no limit.
    pub keepalive_requests: u32,
    /// Time for the TLS handshake.
    pub tls_handshake_timeout: DurationText,
    /// Time that a client may stall while it sends a request body. Later: 408.
    pub body_timeout: DurationText,
    /// Time that a client may stall while it reads a response.
    pub write_timeout: DurationText,
    /// Size of the request head. Larger: 431.
    pub max_header_size: ByteSize,
    /// Number of request header fields. More: 431.
    #[schemars(range(min = 1, max = 250))]
    pub max_headers: usize,
    /// Length of the request target. Longer: 414.
    pub max_target: ByteSize,
    /// Size of a request body; absent means no limit. Larger: 413.
    pub max_body: Option<ByteSize>,
    /// Open client connections of the process; further ones are closed at once.
    #[schemars(range(min = 1))]
    pub max_connections: u32,
    /// Open connections from one client address outside `trusted_proxies`; 0 means no limit.
    pub max_connections_per_client: u32,
    /// Quiet time after which a tunnel (websocket) is closed.
    pub tunnel_idle_timeout: DurationText,
    /// Limits of HTTP/2 connections.
    pub h2: H2Limits,
    /// When this process itself does less.
    pub overload: Overload,
}

/// When this process itself does less, so that it is neither killed nor slow for everyone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Overload {
    /// Off: neither memory nor lag is looked at.
    pub enabled: bool,
    /// Memory that this process may take. Default: what its control group allows; without one, memory is not looked at.
    pub memory_limit: Option<ByteSize>,
    /// Share of that memory from which on connections are closed after their answer.
    pub memory_no_keepalive: Percent,
    /// Share of that memory from which on new work is refused.
    pub memory_refuse: Percent,
    /// Lag of the event loop from which on connections are closed after their answer.
    pub lag_no_keepalive: DurationText,
    /// Lag of the event loop from which on new work is refused.
    pub lag_refuse: DurationText,
}

/// Limits of an HTTP/2 connection from a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct H2Limits {
    /// Requests at one time on one connection.
    #[schemars(range(min = 1, max = 10000))]
    pub max_streams: u32,
    /// Size of one request's header list, uncompressed.
    pub max_header_list: ByteSize,
    /// A connection without a request for this long is closed.
    pub idle_timeout: DurationText,
    /// Streams that a client may reset before the connection is closed (CVE-2023-44487).
    #[schemars(range(min = 1))]
    pub max_resets: usize,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: DurationText::secs(10),
            keepalive_timeout: DurationText::secs(60),
            keepalive_requests: 10_000,
            tls_handshake_timeout: DurationText::secs(10),
            body_timeout: DurationText::secs(30),
            write_timeout: DurationText::secs(60),
            max_header_size: ByteSize(32 << 10),
            max_headers: 100,
            max_target: ByteSize(8 << 10),
            max_body: None,
            max_connections: 20_000,
            max_connections_per_client: 0,
            tunnel_idle_timeout: DurationText::secs(3600),
            h2: H2Limits::default(),
            overload: Overload::default(),
        }
    }
}

// === impl H2Limits ===

impl Default for H2Limits {
    fn default() -> Self {
        Self {
            max_streams: 100,
            max_header_list: ByteSize(32 << 10),
            idle_timeout: DurationText::secs(60),
            max_resets: 100,
        }
    }
}

// === impl Overload ===

impl Default for Overload {
    fn default() -> Self {
        Self {
            enabled: true,
            memory_limit: None,
            memory_no_keepalive: Percent::new(85.0),
            memory_refuse: Percent::new(95.0),
            lag_no_keepalive: DurationText::millis(200),
            lag_refuse: DurationText::secs(1),
        }
    }
}
