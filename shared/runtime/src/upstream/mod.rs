//! What stands behind a route: endpoints, pools of them, and regions.

mod affinity;
mod changes;
mod dial;
mod endpoint;
mod idle;
mod pool;
mod regions;
mod spread;
mod standing;
mod table;
mod target;
mod verdicts;
mod zones;

pub use affinity::Sticky;
pub use changes::Changes;
pub(crate) use dial::Dialer;
pub use endpoint::{Endpoint, EndpointKey, Health};
pub use pool::{Member, Pool, PoolView};
pub use regions::{RegionEntry, RegionRoute, RegionSet, RegionView, Reports};
pub use standing::{Conviction, Standing};
pub use table::EndpointTable;
pub use target::Target;
