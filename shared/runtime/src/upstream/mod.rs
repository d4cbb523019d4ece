//! What stands behind a route: endpoints, pools of them, and regions.

mod admission;
mod changes;
mod dial;
mod endpoint;
mod idle;
mod pool;
mod regions;
mod table;
mod target;

pub use admission::{
    Admission, AdmissionMetrics, Cause, Protection, Snapshot as AdmissionSnapshot,
};
pub(crate) use admission::{Entry, Need, Place};
pub use changes::Changes;
pub(crate) use dial::Dialer;
pub use endpoint::{Endpoint, EndpointKey, Health};
pub use pool::{Member, Pool, PoolView};
pub use regions::{RegionEntry, RegionRoute, RegionSet, RegionView, Reports};
pub use table::EndpointTable;
pub use target::Target;
