//! Disturbances for drills: a share of a route's requests is held back or answered with an error.
//!
//! Both are drawn anew for each request, and independently. They come before any endpoint is chosen, so that no
//! endpoint's record suffers, and end in log and metrics under a reason of their own.

use super::request::Request;
use crate::clock;
use lb_core::sample::by_chance;
use pingora_http::RequestHeader;

/// Holds the request back when the lot falls on it, and tells the status that it is to be answered with instead of
/// being forwarded.
pub(super) async fn disturb(head: &RequestHeader, request: &mut Request) -> Option<u16> {
    let rule = request.rule.clone();
    let disturbs = rule.fault.as_ref()?;
    let required = disturbs.config.header.as_ref();
    if required.is_some_and(|name| !head.headers.contains_key(name.as_str())) {
        return None;
    }
    if let Some(delay) = &disturbs.config.delay
        && clock::with_rng(|rng| by_chance(delay.share, rng))
    {
        disturbs.delayed.inc();
        pingora_timeout::sleep(delay.time.get().min(request.time_left())).await;
        request.tick();
    }
    let abort = disturbs.config.abort.as_ref()?;
    let drawn = clock::with_rng(|rng| by_chance(abort.share, rng));
    drawn.then(|| {
        disturbs.aborted.inc();
        abort.status
    })
}
