//! What a request may claim, and whether it is let in.

use super::request::Admitted;
use crate::clock;
use crate::listen::Connection;
use crate::plan::{Plan, Tier};
use http::HeaderValue;
use lb_core::config::model::Location;
use lb_core::http::forward::{Way, client_address, is_request_id, request_id};
use lb_core::http::tier::{ATTEMPT, Attempt, DEADLINE, Deadline, PRIORITY, Priority};
use lb_core::reason::Reason;
use pingora_core::protocols::http::ServerSession;
use pingora_http::RequestHeader;
use std::net::IpAddr;

/// Reads what the request says of its way so far; what an untrusted peer says is not believed.
pub(super) fn admit(
    plan: &Plan,
    session: &ServerSession,
    connection: Connection,
) -> Result<Admitted, (Admitted, Reason)> {
    let head = session.req_header();
    let peer = connection.peer.ip().to_canonical();
    let trusted = plan.trust.is_trusted(peer);
    let believed = |name: &http::HeaderName| head.headers.get(name).filter(|_| trusted);
    let client = if trusted {
        client_address(
            peer,
            head.headers.get_all("x-forwarded-for").iter(),
            &plan.trust,
        )
    } else {
        peer
    };
    let admitted = Admitted {
        client,
        trusted,
        id: id(head, trusted),
        priority: believed(&PRIORITY)
            .and_then(Priority::parse)
            .unwrap_or_default(),
        prior_attempt: believed(&ATTEMPT)
            .and_then(Attempt::parse)
            .map_or(1, |a| a.get().into()),
        time_left: believed(&DEADLINE)
            .and_then(Deadline::parse)
            .map(Deadline::left),
        location: locate(plan, head, client, trusted),
    };
    match plan
        .identity
        .pseudonym
        .check(head.headers.get_all(http::header::VIA).iter())
    {
        Way::Clear(_) => Ok(admitted),
        Way::Loop | Way::TooLong => Err((admitted, Reason::Loop)),
    }
}

/// The host asked for, as in `Host` or `:authority`.
pub(super) fn host(head: &RequestHeader) -> &str {
    match head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => head
            .headers
            .get(http::header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default(),
    }
}

fn id(head: &RequestHeader, trusted: bool) -> HeaderValue {
    let given = head
        .headers
        .get("x-request-id")
        .filter(|id| trusted && is_request_id(id.as_bytes()));
    given.cloned().unwrap_or_else(|| {
        let fresh = clock::with_rng(|rng| request_id(clock::unix_millis(), rng));
        HeaderValue::try_from(fresh).unwrap_or(HeaderValue::from_static("-"))
    })
}

/// Where the client is: by a trusted peer's header, else by the longest range that holds its address.
fn locate(plan: &Plan, head: &RequestHeader, client: IpAddr, trusted: bool) -> Option<Location> {
    if plan.identity.tier != Tier::Global {
        return None;
    }
    let told = plan.geo.header.as_ref().filter(|_| trusted);
    let told = told.and_then(|name| head.headers.get(name.as_str())?.to_str().ok());
    if let Some((latitude, longitude)) = told.and_then(|text| text.split_once(',')) {
        let degrees = |text: &str, limit: f64| {
            text.trim()
                .parse::<f64>()
                .ok()
                .filter(|value| value.abs() <= limit)
        };
        if let (Some(latitude), Some(longitude)) =
            (degrees(latitude, 90.0), degrees(longitude, 180.0))
        {
            return Some(Location {
                latitude,
                longitude,
            });
        }
    }
    plan.geo
        .networks
        .iter()
        .filter(|(range, _)| range.0.contains(&client))
        .max_by_key(|(range, _)| range.0.prefix_len())
        .map(|(_, location)| *location)
}
