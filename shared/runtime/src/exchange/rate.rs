//! The rate limit of a route.
//!
//! The decision is `lb_core::limit` (GCRA over a bounded table). Here a request's key is found, and a refusal becomes 429 with
//! the fields of draft-ietf-httpapi-ratelimit-headers. Answers that pass don't carry them: formatting two fields would cost each
//! request more than the limit itself. The check comes before a pool is asked for room, so that a greedy client
//! takes no place from others.
//!
//! A limiter belongs to its route's name and outlives a reload that keeps its numbers: changing another route gives nobody a
//! fresh burst.

use super::answer::Answer;
use super::request::Request;
use crate::clock;
use http::HeaderValue;
use lb_core::config::model::{RateKey, RateLimit};
use lb_core::limit::gcra::{Limited, Quota};
use lb_core::limit::keyed::Keyed;
use lb_core::time::Instant;
use pingora_core::protocols::http::ServerSession;
use pingora_http::RequestHeader;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What tells clients apart, so that a header's value never meets an address.
#[derive(Clone, Copy)]
enum Domain {
    Address,
    Header,
    Path,
}

/// A route's limit at work.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    name: String,
    key: RateKey,
    quota: Quota,
    /// Live replicas of this tier, this one included: each enforces its part.
    replicas: Arc<AtomicU32>,
    clients: Keyed,
}

// === impl RateLimiter ===

impl RateLimiter {
    /// The limit of the route `name`, shared by so many `replicas`.
    pub(crate) fn new(name: &str, limit: &RateLimit, seed: u64, replicas: Arc<AtomicU32>) -> Self {
        let burst = limit.burst.unwrap_or(limit.requests);
        Self {
            name: name.to_owned(),
            key: limit.key.clone(),
            quota: Quota::new(limit.requests, limit.per.get(), burst),
            replicas,
            clients: Keyed::new(usize::try_from(limit.max_keys).unwrap_or(usize::MAX), seed),
        }
    }

    fn quota(&self) -> Quota {
        self.quota.divided(self.replicas.load(Relaxed))
    }

    fn take(&self, head: &RequestHeader, client: IpAddr, now: Instant) -> Result<(), Limited> {
        let key = self.key_of(head, client);
        self.clients.take(key, self.quota(), now).map(|_left| ())
    }

    fn key_of(&self, head: &RequestHeader, client: IpAddr) -> u64 {
        let key = |domain: Domain, bytes: &[u8]| self.clients.key(domain as u64, bytes);
        if self.key.path {
            return key(Domain::Path, head.uri.path().as_bytes());
        }
        let header = self.key.header.as_deref();
        if let Some(value) = header.and_then(|name| head.headers.get(name)) {
            return key(Domain::Header, value.as_bytes());
        }
        match client {
            IpAddr::V4(ip) => key(Domain::Address, &ip.octets()),
            // Whoever has an IPv6 address has 2^64 of them.
            IpAddr::V6(ip) => key(Domain::Address, ip.octets().get(..8).unwrap_or_default()),
        }
    }

    /// `RateLimit-Policy` and `RateLimit` of a refusal.
    pub(super) fn fields(&self, limited: Limited) -> Option<[HeaderValue; 2]> {
        let policy = self.quota().policy_field(&self.name).to_string();
        let state = limited.field(&self.name).to_string();
        Some([
            HeaderValue::try_from(policy).ok()?,
            HeaderValue::try_from(state).ok()?,
        ])
    }
}

/// Takes a request out of its client's bucket.
///
/// # Errors
/// The answer, when the bucket is empty.
pub(super) fn check(session: &ServerSession, request: &Request) -> Result<(), Box<Answer>> {
    let Some(limiter) = &request.rule.rate_limit else {
        return Ok(());
    };
    let taken = limiter.take(session.req_header(), request.client, clock::now());
    taken.map_err(|limited| {
        request.rule.metrics.limit_rate();
        Box::new(Answer::rate_limited(request, limiter, limited))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(key: &str) -> RateLimiter {
        let text = format!(r#"{{"requests":2,"per":"1s","key":{key}}}"#);
        RateLimiter::new(
            "api",
            &serde_json::from_str(&text).unwrap(),
            7,
            Arc::default(),
        )
    }

    fn head(path: &str, token: Option<&str>) -> RequestHeader {
        let mut head = RequestHeader::build("GET", path.as_bytes(), None).unwrap();
        if let Some(token) = token {
            head.insert_header("x-token", token).unwrap();
        }
        head
    }

    #[test]
    fn clients_are_told_apart_by_address_header_or_path() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let by_address = limiter("{}");
        let key = |head: &RequestHeader, client| by_address.key_of(head, client);
        assert_ne!(key(&head("/", None), a), key(&head("/", None), b));
        assert_eq!(key(&head("/x", None), a), key(&head("/y", Some("t")), a));
        let by_header = limiter(r#"{"header":"x-token"}"#);
        let key = |token, client| by_header.key_of(&head("/", token), client);
        assert_eq!(key(Some("t"), a), key(Some("t"), b));
        assert_ne!(key(Some("t"), a), key(Some("u"), a));
        assert_ne!(key(None, a), key(None, b), "without it, the address");
        let by_path = limiter(r#"{"path":true}"#);
        assert_eq!(
            by_path.key_of(&head("/x?1", None), a),
            by_path.key_of(&head("/x?2", None), b)
        );
    }

    #[test]
    fn one_network_is_one_client_in_ipv6() {
        let limiter = limiter("{}");
        let key = |text: &str| limiter.key_of(&head("/", None), text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let (limiter, client) = (limiter("{}"), IpAddr::from([10, 0, 0, 1]));
        let now = Instant::from_millis(1000);
        let ask = || limiter.take(&head("/", None), client, now);
        assert!(ask().is_ok() && ask().is_ok());
        let [policy, state] = limiter.fields(ask().unwrap_err()).unwrap();
        assert_eq!(policy, "\"api\";q=2;w=1");
        assert_eq!(state, "\"api\";r=0;t=1");
    }

    #[test]
    fn a_change_of_the_replicas_gives_nobody_a_fresh_burst() {
        let (limiter, client) = (limiter("{}"), IpAddr::from([10, 0, 0, 1]));
        let ask = |millis| {
            let now = Instant::from_millis(millis);
            limiter.take(&head("/", None), client, now)
        };
        assert!(ask(1000).is_ok() && ask(1000).is_ok());
        limiter.replicas.store(2, Relaxed);
        let limited = ask(1000).unwrap_err();
        let [policy, _] = limiter.fields(limited).unwrap();
        assert_eq!(policy, "\"api\";q=1;w=1", "half of two in a second");
        assert!(ask(1999).is_err() && ask(2000).is_ok());
        limiter.replicas.store(1, Relaxed);
        assert!(ask(2000).is_err(), "its second is used up");
    }
}
