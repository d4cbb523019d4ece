//! The check of request heads that came over HTTP/2.
//!
//! HTTP/2 frames bodies itself, so its heads can't be ambiguous on their own. They become so when they
//! are turned into HTTP/1 for a server (RFC 9113 §8.2.2, §8.3.1, §10.3): a `transfer-encoding` or a wrong
//! `content-length` that was harmless in HTTP/2 then frames the body. The library refuses malformed
//! pseudo-fields and connection fields of its own accord; this check does not count on it.
//!
//! Stricter than the RFC: `Host` beside `:authority` must be equal, and a request needs one of both;
//! extended CONNECT (RFC 8441) is refused with CONNECT.

use super::head::value::{is_alike, is_authority, length};
use super::head::{HeadFault, HeadLimits, MethodKind};
use http::{HeaderMap, Method, Uri, header};

/// What the check learned about an accepted head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct H2Info {
    /// The method.
    pub method: MethodKind,
    /// The length that the body must turn out to have; without it, it ends with the stream.
    pub length: Option<u64>,
    /// Whether the client waits for a 100 before it sends the body.
    pub expects_continue: bool,
}

/// Checks the head of a request that came over HTTP/2. `max_size` of the limits does not apply: the
/// header list is limited while it is decoded. Does not allocate.
///
/// # Errors
/// The first fault. The stream ends with the answer; the connection may stay.
pub fn check_h2(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    limits: &HeadLimits,
) -> Result<H2Info, HeadFault> {
    let method = check_method(method)?;
    check_target(method, uri, limits)?;
    if headers.len() > limits.max_fields {
        return Err(HeadFault::FieldCount);
    }
    for (name, value) in headers {
        check_field(name.as_str(), value.as_bytes())?;
    }
    check_host(uri, headers)?;
    let mut expectations = headers.get_all(header::EXPECT).iter().peekable();
    let expects_continue = expectations.peek().is_some();
    if !expectations.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(HeadFault::Expectation);
    }
    Ok(H2Info {
        method,
        length: check_length(headers)?,
        expects_continue,
    })
}

fn check_method(method: &Method) -> Result<MethodKind, HeadFault> {
    match method.as_str() {
        "CONNECT" | "TRACE" | "TRACK" => Err(HeadFault::Method),
        name => Ok(MethodKind::of(name.as_bytes())),
    }
}

fn check_target(method: MethodKind, uri: &Uri, limits: &HeadLimits) -> Result<(), HeadFault> {
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > limits.max_target {
        return Err(HeadFault::TargetLength);
    }
    if target == "*" && method == MethodKind::Options {
        return Ok(());
    }
    if !target.starts_with('/') {
        return Err(HeadFault::TargetForm);
    }
    if target.bytes().any(|b| !b.is_ascii_graphic() || b == b'#') {
        return Err(HeadFault::Target);
    }
    Ok(())
}

fn check_field(name: &str, value: &[u8]) -> Result<(), HeadFault> {
    match name {
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => {
            Err(HeadFault::ConnectionSpecific)
        }
        "te" if !value.eq_ignore_ascii_case(b"trailers") => Err(HeadFault::TrailerPreference),
        _ if name.contains('_')
            && ["content-length", "transfer-encoding"]
                .iter()
                .any(|framing| is_alike(name.as_bytes(), framing.as_bytes())) =>
        {
            Err(HeadFault::UnderscoreName)
        }
        _ => Ok(()),
    }
}

fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), HeadFault> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|value| value.as_bytes());
    if hosts.next().is_some() {
        return Err(HeadFault::HostRepeated);
    }
    let authority = uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    match (authority, host) {
        (None, None) => return Err(HeadFault::HostMissing),
        (Some(a), Some(b)) if !a.eq_ignore_ascii_case(b) => return Err(HeadFault::HostMismatch),
        _ => {}
    }
    if is_authority(authority.or(host).unwrap_or_default()) {
        Ok(())
    } else {
        Err(HeadFault::HostInvalid)
    }
}

fn check_length(headers: &HeaderMap) -> Result<Option<u64>, HeadFault> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(HeadFault::LengthRepeated);
    }
    length(value.as_bytes()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, URI, fields and the fault.
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], HeadFault);

    const LIMITS: HeadLimits = HeadLimits {
        max_size: 1024,
        max_fields: 10,
        max_target: 100,
    };

    fn check(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<H2Info, HeadFault> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        check_h2(&method, &uri.parse().unwrap(), &headers, &LIMITS)
    }

    #[test]
    fn plain_requests_pass() {
        let info = check(
            "POST",
            "https://a.b/x?y",
            &[("content-length", "5"), ("te", "trailers")],
        );
        let want = H2Info {
            method: MethodKind::Post,
            length: Some(5),
            expects_continue: false,
        };
        assert_eq!(info, Ok(want));
        assert!(check("GET", "https://a.b/", &[("host", "A.B")]).is_ok());
        assert!(check("GET", "/", &[("host", "a.b")]).is_ok());
        assert!(
            check("GET", "https://a.b/", &[("expect", "100-continue")])
                .unwrap()
                .expects_continue
        );
    }

    #[test]
    fn what_would_be_ambiguous_in_http1_is_refused() {
        use HeadFault as F;
        let many = [("x", "1"); 11];
        let long = format!("https://a.b/{}", "x".repeat(100));
        let cases: &[Case<'_>] = &[
            (
                "GET",
                "https://a.b/",
                &[("connection", "close")],
                F::ConnectionSpecific,
            ),
            (
                "GET",
                "https://a.b/",
                &[("keep-alive", "5")],
                F::ConnectionSpecific,
            ),
            (
                "GET",
                "https://a.b/",
                &[("proxy-connection", "close")],
                F::ConnectionSpecific,
            ),
            (
                "GET",
                "https://a.b/",
                &[("transfer-encoding", "chunked")],
                F::ConnectionSpecific,
            ),
            (
                "GET",
                "https://a.b/",
                &[("upgrade", "h2c")],
                F::ConnectionSpecific,
            ),
            (
                "GET",
                "https://a.b/",
                &[("te", "gzip")],
                F::TrailerPreference,
            ),
            (
                "GET",
                "https://a.b/",
                &[("te", "trailers, gzip")],
                F::TrailerPreference,
            ),
            (
                "GET",
                "https://a.b/",
                &[("transfer_encoding", "chunked")],
                F::UnderscoreName,
            ),
            (
                "GET",
                "https://a.b/",
                &[("content_length", "1")],
                F::UnderscoreName,
            ),
            (
                "POST",
                "https://a.b/",
                &[("content-length", "1"), ("content-length", "1")],
                F::LengthRepeated,
            ),
            (
                "POST",
                "https://a.b/",
                &[("content-length", "1, 1")],
                F::LengthInvalid,
            ),
            (
                "POST",
                "https://a.b/",
                &[("content-length", "+1")],
                F::LengthInvalid,
            ),
            (
                "POST",
                "https://a.b/",
                &[("content-length", "")],
                F::LengthInvalid,
            ),
            ("GET", "https://a.b/", &[("host", "b.a")], F::HostMismatch),
            (
                "GET",
                "https://a.b/",
                &[("host", "a.b:443")],
                F::HostMismatch,
            ),
            (
                "GET",
                "https://a.b/",
                &[("host", "a.b"), ("host", "a.b")],
                F::HostRepeated,
            ),
            ("GET", "/", &[], F::HostMissing),
            ("GET", "/", &[("host", "u@a.b")], F::HostInvalid),
            ("GET", "https://u@a.b/", &[], F::HostInvalid),
            ("CONNECT", "a.b:443", &[], F::Method),
            ("TRACE", "https://a.b/", &[], F::Method),
            ("GET", "*", &[("host", "a.b")], F::TargetForm),
            ("GET", "https://a.b/", &many, F::FieldCount),
            ("GET", &long, &[], F::TargetLength),
            ("GET", "https://a.b/", &[("expect", "x")], F::Expectation),
        ];
        for (method, uri, fields, fault) in cases {
            assert_eq!(
                check(method, uri, fields),
                Err(*fault),
                "{method} {uri} {fields:?}"
            );
        }
    }
}
