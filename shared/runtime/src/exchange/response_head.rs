//! The response's head: whether it goes to the client at all, and in what form.

use super::pump::TryEnd;
use super::request::Request;
use super::upstream_head::{EditResponse, HOP_BY_HOP, REQUEST_ID, names};
use crate::clock;
use crate::plan::Action;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderName, HeaderValue, Method, Version};
use lb_core::http::tier::{DRAINING, UNSERVED};
use lb_core::region::report::{HEADER, RegionReport};
use lb_core::retry::Failure;
use pingora_core::protocols::http::ServerSession;
use pingora_http::ResponseHeader;

/// Set by a tier that is overloaded: do not ask me again for this request.
pub(super) const OVERLOADED: HeaderName = HeaderName::from_static("x-lb-overloaded");

/// Carries a region's report to the global tier.
const REGION_LOAD: HeaderName = HeaderName::from_static(HEADER);

/// Whether the response may pass. `Err` ends the try without the user having seen anything.
pub(super) fn judge(
    session: &ServerSession,
    request: &mut Request,
    head: &ResponseHeader,
) -> Result<(), TryEnd> {
    let status = head.status.as_u16();
    if let Some(report) = head.headers.get(&REGION_LOAD) {
        take_report(request, report);
    }
    if head.headers.contains_key(&DRAINING)
        && let (Some(endpoint), Some(pool)) = (&request.tries.last, &request.tries.pool)
    {
        pool.note_leaving(endpoint, clock::now());
    }
    if status == 101 {
        let agreed = request.is_upgrade && session.is_upgrade(head) == Some(true);
        return if agreed {
            Ok(())
        } else {
            Err(TryEnd::Failed(Failure::Malformed))
        };
    }
    let failure = if head.headers.contains_key(&OVERLOADED) {
        Failure::Overloaded
    } else if !request.is_regional() && head.headers.contains_key(&UNSERVED) {
        // Of a server nobody knows that it means this by the field.
        Failure::Unserved
    } else if request.rule.retry.is_retryable_status(status) {
        Failure::Status(status)
    } else {
        return Ok(());
    };
    request.sample_failure(failure);
    match request.after_failure(failure) {
        Ok(pause) => {
            request.account_failure(failure);
            Err(TryEnd::Retry(pause))
        }
        // What can't be repeated is passed on as it came.
        Err(_) => {
            request.tries.told =
                matches!(failure, Failure::Overloaded | Failure::Unserved).then_some(failure);
            Ok(())
        }
    }
}

/// Whether the response goes on for as long as both sides like: a tunnel, or a stream of events or messages.
pub(super) fn is_stream(head: &ResponseHeader) -> bool {
    const TYPES: [&str; 2] = ["text/event-stream", "application/grpc"];
    let kind = head.headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    head.status.as_u16() == 101 || TYPES.iter().any(|of| kind.starts_with(of))
}

/// Brings the head into the client's form.
pub(super) fn prepare(session: &ServerSession, request: &Request, head: &mut ResponseHeader) {
    let status = head.status.as_u16();
    let upgraded = status == 101;
    let received = head.version;
    strip(head, upgraded);
    if (100..200).contains(&status) {
        return;
    }
    let asked = session.req_header();
    frame(head, &asked.method, asked.version);
    let _ = head.append_header(VIA, request.plan.identity.pseudonym.value(received).clone());
    let _ = head.insert_header(REQUEST_ID, request.id.clone());
    if let Some(report) = &request.report {
        let _ = head.insert_header(REGION_LOAD, report.clone());
    }
    if request.tells_leaving {
        let _ = head.insert_header(DRAINING, HeaderValue::from_static("1"));
    }
    if let Some(cookie) = request.set_cookie() {
        let _ = head.append_header(SET_COOKIE, cookie);
    }
    if !request.rule.response_edits.is_empty() {
        request.rule.response_edits.apply(&mut EditResponse(head));
    }
}

/// Takes in the report that a regional replica sent along; one that names another region is not believed.
fn take_report(request: &Request, report: &HeaderValue) {
    let (Action::Regions(route), Some((index, _))) = (&request.rule.action, request.tries.region)
    else {
        return;
    };
    let report = report
        .to_str()
        .ok()
        .and_then(|text| RegionReport::from_compact(text).ok());
    if let (Some(region), Some(report)) = (route.set.regions.get(index), report)
        && report.region == region.name
    {
        region.memory.record(report, clock::now());
    }
}

/// Takes out what ends at this hop, and what tiers tell each other.
fn strip(head: &mut ResponseHeader, upgraded: bool) {
    let named = head.headers.get(CONNECTION).cloned();
    let listed = named
        .as_ref()
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let ends_here = |name: &HeaderName| {
        let hop = HOP_BY_HOP.contains(name)
            || name.as_str().starts_with("x-lb-")
            || names(listed).any(|n| n.eq_ignore_ascii_case(name.as_str()));
        hop && !(upgraded && (*name == UPGRADE || *name == CONNECTION))
    };
    let ended: Vec<HeaderName> = head
        .headers
        .keys()
        .filter(|name| ends_here(name))
        .cloned()
        .collect();
    for name in ended {
        head.remove_header(&name);
    }
}

/// A body of unknown length goes out in chunks, which keeps the connection; HTTP/1.0 has no chunks, and
/// its connection is closed instead.
fn frame(head: &mut ResponseHeader, method: &Method, version: Version) {
    let bodiless = *method == Method::HEAD || matches!(head.status.as_u16(), 204 | 304);
    let measured = head.headers.contains_key(CONTENT_LENGTH);
    if head.headers.contains_key(TRANSFER_ENCODING) {
        head.remove_header(&TRANSFER_ENCODING);
    }
    if !bodiless && !measured && version == Version::HTTP_11 {
        let _ = head.insert_header(TRANSFER_ENCODING, "chunked");
    }
    head.set_version(version);
}
