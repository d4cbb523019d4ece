//! Who may write.
//!
//! # Problem
//! The admin listener is reached by whoever reaches its port, among them a browser on an operator's desk: a page from anywhere may make
//! it send requests, even with a body.
//!
//! # Choice
//! A write needs three things. A token in a field that pages can't set for other origins; the field `x-lb-request`, for the same
//! reason, also where no token is asked for; and no foreign `Origin`. Connections over the unix socket have passed the permissions
//! of its directory, and need no token.
//!
//! # Rejected
//! Cookies (a browser sends them along for any page); being on loopback as a proof (every process of the machine is).

use super::token::{TokenError, TokenFile};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, StatusCode};

/// The field that a write must have.
pub const REQUEST_FIELD: &str = "x-lb-request";

/// Where a connection comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Its address, for the log.
    pub name: String,
    /// It came over a unix socket in a directory that only its owner enters.
    pub trusted: bool,
}

/// Decides who may write.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    tokens: Option<TokenFile>,
}

/// Why somebody may not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turned {
    pub(super) status: StatusCode,
    pub(super) error: String,
    pub(super) hint: &'static str,
}

// === impl Gate ===

impl Gate {
    /// Lets in who shows one of `tokens`; without a file, nobody over TCP.
    #[must_use]
    pub const fn new(tokens: Option<TokenFile>) -> Self {
        Self { tokens }
    }

    /// Whether the sender of these fields may write.
    pub(super) fn write(&self, visitor: &Visitor, fields: &HeaderMap) -> Result<(), Turned> {
        if let Some(origin) = fields.get(ORIGIN) {
            let host = fields.get(HOST).map(|host| host.as_bytes());
            if !is_same(origin.as_bytes(), host.unwrap_or_default()) {
                return Err(Turned::forbidden(
                    "the request comes from a page of another origin",
                    "writes are for lbctl, for replicas and for pages of this listener",
                ));
            }
        }
        if fields.get(REQUEST_FIELD).is_none_or(|value| value != "1") {
            return Err(Turned::forbidden(
                "the field x-lb-request is missing",
                "send `x-lb-request: 1`: pages in a browser can't",
            ));
        }
        if visitor.trusted {
            return Ok(());
        }
        match &self.tokens {
            None => Err(Turned::forbidden(
                "there is no token by which a write could be let in",
                "set admin.token_file, or use the unix socket on the replica's machine",
            )),
            Some(tokens) => check(tokens, fields),
        }
    }

    /// Whether the sender may read all orders with what people wrote in them: anybody as long as there is no token.
    pub(super) fn read(&self, visitor: &Visitor, fields: &HeaderMap) -> Result<(), Turned> {
        match &self.tokens {
            Some(tokens) if !visitor.trusted => check(tokens, fields),
            _ => Ok(()),
        }
    }
}

fn check(tokens: &TokenFile, fields: &HeaderMap) -> Result<(), Turned> {
    let shown = fields.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let wrong = |error: &str| Turned {
        status: StatusCode::UNAUTHORIZED,
        error: error.to_owned(),
        hint: "send `Authorization: Bearer TOKEN` with a token of the replica's admin.token_file",
    };
    let Some(shown) = shown else {
        return Err(wrong("a token is needed"));
    };
    match tokens.has(shown.as_bytes()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(wrong("the token is wrong")),
        Err(error) => Err(unusable(&error)),
    }
}

fn unusable(error: &TokenError) -> Turned {
    log::error!("admin: {error}");
    Turned {
        status: StatusCode::SERVICE_UNAVAILABLE,
        error: error.to_string(),
        hint: "mend the file; it is read again for the next request",
    }
}

/// Whether an origin, which has a scheme, is the host that was asked.
fn is_same(origin: &[u8], host: &[u8]) -> bool {
    let place = origin
        .strip_prefix(b"http://")
        .or(origin.strip_prefix(b"https://"));
    place.is_some_and(|place| !place.is_empty() && place.eq_ignore_ascii_case(host))
}

// === impl Turned ===

impl Turned {
    fn forbidden(error: &str, hint: &'static str) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            error: error.to_owned(),
            hint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::os::unix::fs::PermissionsExt;

    const TOKEN: &str = "0123456789abcdef";

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            ((*name).parse().unwrap(), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn visitor(trusted: bool) -> Visitor {
        let name = "somebody".to_owned();
        Visitor { name, trusted }
    }

    #[test]
    fn a_write_needs_the_field_the_token_and_no_foreign_page() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, TOKEN).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let (gate, none) = (Gate::new(Some(TokenFile::new(path))), Gate::default());
        let right = ("authorization", "Bearer 0123456789abcdef");
        let wrong = ("authorization", "Bearer 0123456789abcdeF");
        let asked = (REQUEST_FIELD, "1");
        let own = [("host", "a:1"), ("origin", "http://A:1")];
        let foreign = [("host", "a:1"), ("origin", "http://a:2")];
        let cases: [(&Gate, bool, &[_], u16); 12] = [
            (&gate, false, &[asked, right], 200),
            (&gate, false, &[asked, wrong], 401),
            (&gate, false, &[asked], 401),
            (&gate, false, &[right], 403),
            (&gate, false, &[(REQUEST_FIELD, "0"), right], 403),
            (&gate, false, &[asked, right, own[0], own[1]], 200),
            (&gate, false, &[asked, right, foreign[0], foreign[1]], 403),
            (&gate, false, &[asked, right, ("origin", "null")], 403),
            (&none, false, &[asked, right], 403),
            (&none, true, &[asked], 200),
            (&none, true, &[], 403),
            (&gate, true, &[asked, foreign[0], foreign[1]], 403),
        ];
        for (gate, trusted, pairs, status) in cases {
            let turned = gate.write(&visitor(trusted), &fields(pairs)).err();
            let is = turned.as_ref().map_or(200, |turned| turned.status.as_u16());
            assert_eq!(is, status, "{trusted} {pairs:?}: {turned:?}");
        }
        let read = |gate: &Gate, pairs: &[_]| gate.read(&visitor(false), &fields(pairs)).is_ok();
        assert!(read(&none, &[]) && read(&gate, &[right]) && !read(&gate, &[]));
    }

    #[test]
    fn a_file_that_turns_bad_lets_nobody_in() {
        let gate = Gate::new(Some(TokenFile::new("/nowhere".into())));
        let pairs = [(REQUEST_FIELD, "1"), ("authorization", "Bearer ")];
        let turned = gate.write(&visitor(false), &fields(&pairs)).unwrap_err();
        assert_eq!(turned.status, 503);
        assert!(turned.error.contains("/nowhere"), "{turned:?}");
    }
}
