//! The configuration as types; `lb-core::config::read` turns text into them.
//!
//! Every type refuses unknown keys, and the JSON Schema for editors is generated from these types, so
//! that documentation, schema and parser can't disagree. No type is an untagged union: a union turns
//! each fault into "matches none", which helps nobody.

mod discover;
mod global;
mod health;
mod limits;
mod listener;
mod pool;
mod protect;
mod regional;
mod route;
mod shutdown;
mod state;
mod traffic;

pub use discover::{AddressFamily, Discover, KubernetesServices, ServiceShare};
pub use global::{Cidr, Failover, GeoSource, Global, Location, Region, RegionOrder, RegionReplica};
pub use health::{
    FailurePercentage, GrpcCheck, HealthCheck, HttpCheck, Outlier, PeerFailures, PeerLatency,
    StatusRange, SuccessRate, TcpCheck,
};
pub use limits::{H2Limits, Limits, Overload};
pub use listener::{AccessLog, Admin, Certificate, Listener, ListenerTls, Protocol, Threading};
pub use pool::{Balance, HashOn, Pool, Server, UpstreamHttp, UpstreamTls};
pub use protect::{AdaptiveConcurrency, Affinity, CircuitBreaker, SlowStart, ZonePreference};
pub use regional::Regional;
pub use route::{
    HeaderEdits, HeaderMatch, PathMatch, Redirect, RegionChoice, Retry, Rewrite, Route, RouteMatch,
    Timeouts,
};
pub use shutdown::Shutdown;
pub use state::{Etcd, EtcdTls, Kubernetes, State, StoreKind};
pub use traffic::{Fault, FaultAbort, FaultDelay, Mirror, RateKey, RateLimit, RegionAffinity};
