//! Servers as Kubernetes tells them: all EndpointSlices of a pool's Services, and the list of servers that they make.
//!
//! # Problem
//! A Service's endpoints are spread over slices, which change one at a time and in any order. An endpoint that is moved between two
//! slices stands in both for a moment, one with both kinds of addresses stands in two for ever, and a watch tells of each slice by itself.
//!
//! # Choice
//! The list is a function of the *set* of slices ([`merge`]): neither their order nor the history counts, so that replicas that
//! heard of the same slices agree, and a missed event is healed by the next list.
//!
//! - **Who is who.** Mentions with the same `targetRef.uid` are one server: that joins the two families, and the two slices of an endpoint
//!   that moves. Without one, the address says who it is. Two servers at one address (it was given to another pod, and the old one's slice
//!   is late): the better one counts, see [`Standing`].
//! - **Which word counts.** Terminating is for ever, so between two words about *one* server it wins; otherwise ready wins, as a server
//!   that is not ready after all costs a retry, and one that is left out costs its capacity.
//! - **Three uses.** Ready servers get new requests. Those that serve and terminate finish theirs, and get new ones only when nobody else
//!   is left, as kube-proxy does. When there is neither, servers that are not ready are used, checks permitting: that *no* server
//!   passes its readiness probe is more often the probe's fault (a store that all of them ask) than theirs.
//! - **What goes, stays a while.** See [`Shelf`].
//! - **Weights.** See [`weights`].
//! - **Zones** go to the pool's own preference (`zone_preference`), which sends to other zones what the own can't carry. The
//!   `hints` of slices move whole servers between zones by CPU counts of machines; they are obeyed only when asked for, and then as
//!   kube-proxy does: when each ready server has one and some are for the own zone.
//!
//! # Rejected
//! - *Applying events to the pool's list*: an event for a slice that was left out by an earlier one needs the others again, and the order would count.
//! - *`serving` alone*: a server that terminates serves, and would get new requests until it is gone.
//!
//! # Limits
//! Only TCP ports. Slices of `FQDN` addresses are left out (Kubernetes deprecates them; a name can stand in `servers`). A service's
//! own port number isn't known to slices: a number is the servers' (`targetPort`).
//!
//! # Source
//! Kubernetes API `discovery.k8s.io/v1`; kube-proxy's `endpointslicecache.go` and `topology.go`.

mod merge;
mod names;
mod note;
mod ports;
mod shelf;
mod slice;
#[cfg(test)]
mod tests;
pub mod weights;

pub use merge::{Found, Merged, Rules, merge};
pub use note::Note;
pub use shelf::{Shelf, Stays, TooMany};
pub use slice::{AddressType, Mention, Port, Slice, Standing};
