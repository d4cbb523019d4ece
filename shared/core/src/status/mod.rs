//! What a process tells about itself: one schema for the admin API, `lbctl` and the dashboard.
//!
//! **Problem.** An operator at three in the morning asks four questions: is it serving, with which
//! configuration, who is out, and *why*. Text pages answer them for eyes only, and metrics answer
//! them without the why.
//!
//! **Choice.** Plain data with a reason (`why`) beside each state. The program that fills it and the
//! tool that prints it compile against the same types, so that they can't drift apart. Every field
//! has a default and unknown fields are ignored, so that an older `lbctl` reads a newer replica and
//! the other way round; a state that a reader doesn't know becomes `unknown` instead of an error.
//!
//! **Rejected.** Names as `lb_core::name` types: a status is shown, never looked up, and a reader
//! should survive a name that a later version allows. Nested maps keyed by name: lists keep the order
//! of the file, which is the order an operator has in mind.
//!
//! **Limits.** A snapshot, taken field by field while requests run: sums can be off by what happened
//! in between. Counters start at 0 with the process and survive a reload.

mod endpoint;
mod explain;
mod handover;
mod peer;
mod pool;
mod process;
mod region;
mod state;

pub use endpoint::{CheckStatus, EndpointState, EndpointStatus};
pub use explain::{Explain, ExplainQuery, ExplainStep, HeaderField, Removed};
pub use handover::{Handover, HandoverPhase, HandoverResult};
pub use peer::{PeerState, PeerStatus, ReplicaIdentity};
pub use pool::{AdmissionStatus, PoolStatus, RouteStatus};
pub use process::{
    ConfigFault, ConfigStatus, Lifecycle, ListenerStatus, OverloadStatus, Readiness, ReloadCounts,
    Status, Tier,
};
pub use region::{RegionState, RegionStatus};
pub use state::{PeerAck, Receipt, Sheet, SheetAck, StatePeer, StateStatus};

#[cfg(test)]
mod tests;
