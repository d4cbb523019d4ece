//! The response's head: whether it goes to the client at all, and in what form.

use super::pump::TryEnd;
use super::request::Request;
use super::upstream_head::{EditResponse, HOP_BY_HOP};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE, VIA};
use http::{HeaderName, Method, Version};
use lb_core::retry::Failure;
use pingora_core::protocols::http::ServerSession;
use pingora_http::ResponseHeader;

/// Set by a tier that is overloaded: do not ask me again for this request.
pub(super) const OVERLOADED: HeaderName = HeaderName::from_static("x-lb-overloaded");

/// Whether the response may pass. `Err` ends the try without the user having seen anything.
pub(super) fn judge(
    session: &ServerSession,
    request: &mut Request,
    head: &ResponseHeader,
) -> Result<(), TryEnd> {
    let status = head.status.as_u16();
    if status == 101 {
        let agreed = request.is_upgrade && session.is_upgrade(head) == Some(true);
        return if agreed { Ok(()) } else { Err(TryEnd::Failed(Failure::Malformed)) };
    }
    let failure = if head.headers.contains_key(&OVERLOADED) {
        Failure::Overloaded
    } else if request.rule.retry.is_retryable_status(status) {
        Failure::Status(status)
    } else {
        return Ok(());
    };
    match request.after_failure(failure) {
        Ok(pause) => {
            request.account_failure(failure);
            Err(TryEnd::Retry(pause))
        }
        // What can't be repeated is passed on as it came.
        Err(_) => Ok(()),
    }
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
    if !request.rule.response_edits.is_empty() {
        request.rule.response_edits.apply(&mut EditResponse(head));
    }
}

fn strip(head: &mut ResponseHeader, upgraded: bool) {
    let named = head.headers.get(CONNECTION).cloned();
    let names = named.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !(upgraded && name.eq_ignore_ascii_case("upgrade")) {
            head.remove_header(name);
        }
    }
    for name in &HOP_BY_HOP {
        let kept = upgraded && (*name == UPGRADE || *name == CONNECTION);
        if !kept && head.headers.contains_key(name) {
            head.remove_header(name);
        }
    }
    let internal: Vec<HeaderName> =
        head.headers.keys().filter(|name| name.as_str().starts_with("x-lb-")).cloned().collect();
    for name in internal {
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
