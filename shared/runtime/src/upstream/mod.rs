//! What stands behind a route: endpoints, pools of them, and regions.

mod changes;
mod endpoint;
mod pool;
mod regions;
mod table;
mod target;

pub use changes::Changes;
pub use endpoint::{Endpoint, EndpointKey, Health};
pub use pool::{Member, Pool, PoolView};
pub use regions::{RegionEntry, RegionRoute, RegionSet, RegionView, Reports};
pub use table::EndpointTable;
pub use target::Target;
