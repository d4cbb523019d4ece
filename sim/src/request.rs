//! A request on its way, and what it still holds.

use crate::server::Outcome;
use lb_core::balance::{EndpointId, InFlight};
use lb_core::retry;
use lb_core::time::Instant;

/// A request.
#[derive(Debug)]
pub struct Request {
    /// The client.
    pub client: u64,
    /// Which try of the client's own it is.
    pub nth: u8,
    /// Changes with each try, so that late events are known.
    pub serial: u64,
    /// When it came in.
    pub since: Instant,
    /// The global replica.
    pub global: usize,
    /// The region.
    pub region: usize,
    /// The replica in it.
    pub replica: usize,
    /// The server in the region; none while it never got so far.
    pub server: Option<usize>,
    /// The run of that server.
    pub run: u32,
    /// How the try ends.
    pub outcome: Outcome,
    /// When this tier's try began.
    pub tried_at: Instant,
    /// Tries in the global tier.
    pub tries: u32,
    /// Tries in the region.
    pub local_tries: u32,
    /// Regions given up.
    pub left: Vec<usize>,
    /// Regional replicas tried.
    pub replicas_tried: Vec<EndpointId>,
    /// Servers tried, in this region.
    pub servers_tried: Vec<EndpointId>,
    /// The count at the global tier.
    pub at_replica: Option<InFlight>,
    /// The count at the regional tier.
    pub at_server: Option<InFlight>,
    /// A retry inside the region is due, rather than in the global tier.
    pub local_retry: bool,
    /// What the global tier's last retry was made for …
    pub retried: Option<retry::Kind>,
    /// … and the regional tier's.
    pub local_retried: Option<retry::Kind>,
}
