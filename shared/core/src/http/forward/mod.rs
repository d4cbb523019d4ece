//! What travels between hops: whom to believe, who the client is, which ids a request carries.
//!
//! Anyone can write `X-Forwarded-For`. Forwarding fields therefore count only when the peer at the
//! other end of the TCP connection is in a configured range; everyone else's are removed before
//! anything reads them, and written anew.

mod ids;
mod trace;
mod trust;
mod via;

pub use ids::{MAX_REQUEST_ID, is_request_id, request_id};
pub use trace::Traceparent;
pub use trust::{MAX_FORWARDED, Trust, append_forwarded_for, client_address, is_forwarding_name};
pub use via::{MAX_HOPS, Pseudonym, Way};
