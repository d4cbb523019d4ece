//! What stands behind a route: endpoints, pools of them, and regions.

mod admission;
mod affinity;
mod changes;
mod dial;
mod endpoint;
mod idle;
mod pool;
mod region_entry;
mod region_memory;
mod region_orders;
mod region_route;
pub(crate) mod region_text;
mod regions;
mod server_orders;
mod spread;
mod standing;
mod table;
mod target;
mod verdicts;
mod zones;

pub use admission::{
    Admission, AdmissionMetrics, Cause, Protection, Snapshot as AdmissionSnapshot,
};
pub(crate) use admission::{Entry, Need, Place};
pub use affinity::Sticky;
pub(crate) use affinity::cookie;
pub use changes::Changes;
pub(crate) use dial::Dialer;
pub use endpoint::{Endpoint, EndpointKey, Health};
pub use pool::{Member, Pool, PoolView};
pub use region_entry::{RegionEntry, RegionNote};
pub use region_memory::RegionMemory;
pub use region_orders::RegionOrders;
pub use region_route::RegionRoute;
pub use regions::{RegionCounters, RegionSet, RegionView, RegionsMemory};
pub use server_orders::{Ordered, ServerOrders};
pub use standing::{Conviction, Standing};
pub use table::EndpointTable;
pub use target::Target;
