//! The regional tier's file.

use super::listener::{AccessLog, Admin, Listener, Threading};
use super::{Cidr, Limits, Pool, Route, Shutdown, State};
use crate::config::scalar::ServerAddressFormat;
use crate::name::{RegionName, ReplicaName, ZoneName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Configuration of `regional-lb`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Regional {
    /// Further files of this configuration, such as `pools/*.yaml`; relative paths start at this file's directory. Each holds top-level
    /// keys. A key may be in one file only, but for lists (`pools`, `routes`, ...), whose entries follow each other in the order of the
    /// files here, and of their names within a pattern. Included files can't include others. They reload as this one does.
    #[serde(default)]
    pub include: Vec<String>,
    /// This replica's name, unique in its region.
    pub name: ReplicaName,
    /// The region that this replica serves.
    pub region: RegionName,
    /// The zone that this replica stands in, for `zone_preference` of the pools.
    #[serde(default)]
    pub zone: Option<ZoneName>,
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
    /// Addresses whose forwarding headers and `x-lb-*` are believed: the global replicas.
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
    /// Requests per second that this replica's servers are able to serve, for the region report. Absent: unknown.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub capacity_rps: Option<u32>,
    /// Which requests go where.
    #[schemars(length(min = 1))]
    pub routes: Vec<Route>,
    /// The servers.
    #[schemars(length(min = 1))]
    pub pools: Vec<Pool>,
}
