//! The global tier's file.

use super::health::{HealthCheck, Outlier};
use super::listener::{AccessLog, Admin, Listener, Threading};
use super::{Limits, Route, Shutdown, State, UpstreamHttp, UpstreamTls};
use crate::config::scalar::{DurationText, Percent, ServerAddressFormat};
use crate::name::{RegionName, ReplicaName, ServerName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Configuration of `global-lb`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Global {
    /// Further files of this configuration, such as `pools/*.yaml`; relative paths start at this file's directory. Each holds top-level
    /// keys. A key may be in one file only, but for lists (`pools`, `routes`, ...), whose entries follow each other in the order of the
    /// files here, and of their names within a pattern. Included files can't include others. They reload as this one does.
    #[serde(default)]
    pub include: Vec<String>,
    /// This replica's name, unique in the tier.
    pub name: ReplicaName,
    /// Threads that serve requests. 0 or absent: one a core.
    #[serde(default)]
    #[schemars(range(max = 1024))]
    pub threads: usize,
    /// How connections are spread over threads.
    #[serde(default)]
    pub threading: Threading,
    /// Where requests come in.
    #[schemars(length(min = 1))]
    pub listeners: Vec<Listener>,
    /// Where operators come in.
    #[serde(default)]
    pub admin: Admin,
    /// Admin addresses of the sister replicas, `address:port` or `name:port` (all addresses of the name count): rate limits are divided
    /// among those that are alive, and orders (`state`) are shared with them. This replica may be among them.
    #[serde(default)]
    #[schemars(with = "Vec<ServerAddressFormat>")]
    pub peers: Vec<String>,
    /// Addresses whose forwarding headers are believed: load balancers in front.
    #[serde(default)]
    pub trusted_proxies: Vec<Cidr>,
    /// Limits against slow, greedy or hostile clients.
    #[serde(default)]
    pub limits: Limits,
    /// How this process leaves.
    #[serde(default)]
    pub shutdown: Shutdown,
    /// A directory of this process's own, for `lbctl upgrade`: made with mode 0700, and refused when others may enter it. Relative
    /// paths start at this file's directory. Absent: no upgrade in place.
    #[serde(default)]
    pub run_directory: Option<PathBuf>,
    /// Where operators' orders (drains) are kept. Not changed while the program runs.
    #[serde(default)]
    pub state: State,
    /// The access log.
    #[serde(default)]
    pub access_log: AccessLog,
    /// Where clients are, for the `geo` order.
    #[serde(default)]
    pub geo: GeoSource,
    /// When regions go out and come back, and how load moves between them.
    #[serde(default)]
    pub failover: Failover,
    /// Which requests may go to which regions.
    #[schemars(length(min = 1))]
    pub routes: Vec<Route>,
    /// The regions.
    #[schemars(length(min = 1))]
    pub regions: Vec<Region>,
}

/// When regions go out and come back, and how load moves between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Failover {
    /// Gateway errors in a row, over all replicas of a region, that take it out.
    #[schemars(range(min = 1, max = 1000))]
    pub consecutive_errors: u32,
    /// How long they keep it out, off by up to a tenth.
    pub ejection: DurationText,
    /// How long probes and reports of a region that was unhealthy must be good before it comes back.
    pub return_after: DurationText,
    /// How long its share then grows from a tenth to all of it.
    pub ramp: DurationText,
    /// How long a region that went out three times within five minutes stays out; doubles with each further time.
    pub hold_down: DurationText,
    /// Longest hold-down.
    pub hold_down_max: DurationText,
    /// Largest share of the regions that goes out without an operator. When none is left, all are used.
    pub max_removed: Percent,
    /// How full a region is when it begins to give requests away.
    pub spill_start: Percent,
    /// How full it is when it would give all away, and to which others fill it.
    pub spill_full: Percent,
    /// Whether a region that turns slower than its own past, and the others don't, gets less.
    pub latency_shift: bool,
    /// A header that names the region for a request, believed from trusted proxies only.
    #[schemars(extend("format" = "header-name"))]
    pub override_header: Option<String>,
}

/// A region and its replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// The region's name, unique in the file.
    pub name: RegionName,
    /// Order of the `priority` policy: lower is preferred, equal ones share by weight.
    #[serde(default = "one")]
    #[schemars(range(max = 1000))]
    pub priority: u32,
    /// Share of new requests relative to regions of the same rank. 0 takes none: the region is drained.
    #[serde(default = "hundred")]
    #[schemars(range(max = 65535))]
    pub weight: u32,
    /// Requests per second that the region is able to serve; its report overrides it. Absent: unknown, never spilled.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub capacity_rps: Option<u32>,
    /// Where the region is, for the `geo` order.
    #[serde(default)]
    pub location: Option<Location>,
    /// Its regional replicas.
    #[schemars(length(min = 1))]
    pub replicas: Vec<RegionReplica>,
    /// HTTP version spoken to the replicas.
    #[serde(default)]
    pub protocol: UpstreamHttp,
    /// TLS to the replicas; without it, plain text.
    #[serde(default)]
    pub tls: Option<UpstreamTls>,
    /// Active checks of the replicas. Default: `GET /readyz` on the admin address where one is given, else TCP.
    #[serde(default)]
    pub health_check: Option<HealthCheck>,
    /// Outlier ejection among the replicas.
    #[serde(default)]
    pub outlier: Outlier,
    /// How long an idle connection to a replica is kept.
    #[serde(default = "upstream_idle")]
    pub idle_timeout: DurationText,
}

/// A regional replica as the global tier sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionReplica {
    /// The replica's name, unique in the region.
    pub name: ServerName,
    /// Where it serves: `address:port`, or `name:port`, which is resolved and kept fresh.
    #[schemars(extend("format" = "server-address"))]
    pub address: String,
    /// Its admin address, for probes and the region report.
    #[serde(default)]
    #[schemars(extend("format" = "server-address"))]
    pub admin: Option<String>,
    /// Share relative to its sisters.
    #[serde(default = "hundred")]
    #[schemars(range(max = 65535))]
    pub weight: u32,
}

/// The order in which regions are tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegionOrder {
    /// By `priority`; equal ones by weight.
    #[default]
    Priority,
    /// By weight alone.
    Weighted,
    /// By measured latency from this replica; regions within 20 ms of the best share by weight.
    Latency,
    /// By distance from the client.
    Geo,
}

/// A place on earth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Degrees north.
    #[schemars(range(min = -90, max = 90))]
    pub latitude: f64,
    /// Degrees east.
    #[schemars(range(min = -180, max = 180))]
    pub longitude: f64,
}

/// Where clients are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GeoSource {
    /// A header with `latitude,longitude` in degrees, believed from trusted proxies only.
    #[schemars(extend("format" = "header-name"))]
    pub header: Option<String>,
    /// Client address ranges and where they are; the longest prefix wins.
    #[schemars(extend("propertyNames" = { "type": "string", "format": "address-range" }))]
    pub networks: BTreeMap<Cidr, Location>,
}

/// An address range such as `10.0.0.0/8` or `2001:db8::/32`; a bare address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr(pub ipnet::IpNet);

// === impl Failover ===

impl Default for Failover {
    fn default() -> Self {
        Self {
            consecutive_errors: 5,
            ejection: DurationText::secs(10),
            return_after: DurationText::secs(15),
            ramp: DurationText::secs(30),
            hold_down: DurationText::secs(30),
            hold_down_max: DurationText::secs(600),
            max_removed: Percent::new(50.0),
            spill_start: Percent::new(80.0),
            spill_full: Percent::new(95.0),
            latency_shift: true,
            override_header: None,
        }
    }
}

// === impl Cidr ===

impl Cidr {
    /// Parses a range or an address.
    ///
    /// # Errors
    /// A reason, when it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.parse::<ipnet::IpNet>()
            .or_else(|_| text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from))
            .map(|net| Self(net.trunc()))
            .map_err(|_syntax| {
                format!("\"{text}\" is not an address range: write 10.0.0.0/8 or 2001:db8::/32")
            })
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Cidr> for String {
    fn from(range: Cidr) -> Self {
        range.0.to_string()
    }
}

impl JsonSchema for Cidr {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AddressRange".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "address-range", "examples": ["10.0.0.0/8"] })
    }
}

fn one() -> u32 {
    1
}

fn hundred() -> u32 {
    100
}

fn upstream_idle() -> DurationText {
    DurationText::secs(50)
}
