//! Host patterns, and hosts of requests in the form in which they are looked up.
//!
//! A wildcard is a leading `*` label and stands for **one or more** labels: `*.example.com` matches
//! `a.example.com` and `a.b.example.com`, not `example.com`. Envoy and the Gateway API mean the same;
//! a certificate's wildcard (RFC 6125 §6.4.3) means exactly one label, which would leave
//! `a.b.example.com` to a less specific route by surprise.
//!
//! A host is compared without port, without one trailing dot (`example.com.` names the same thing,
//! RFC 1034 §3.1) and without regard to case. Names longer than DNS allows match no pattern.

/// Longest host name, in bytes (RFC 1035 §2.3.4).
pub const MAX_HOST: usize = 253;

/// A host pattern of a route, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Every host, and requests without one.
    Any,
    /// Names that end in this suffix, which starts with a dot: `*.example.com` is `.example.com`.
    Wildcard(Box<str>),
    /// One name.
    Exact(Box<str>),
}

/// How specific a host pattern is; the greater wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostRank {
    Any,
    /// By the length of the suffix.
    Wildcard(usize),
    Exact,
}

/// Room for a host in lower case, on the stack.
pub(super) type HostBuffer = [u8; MAX_HOST];

// === impl HostPattern ===

impl HostPattern {
    /// Parses `api.example.com`, `*.example.com`, `192.0.2.1` or `[2001:db8::1]`, in any case.
    ///
    /// # Errors
    /// A reason, when it is no name, has a port, or has a wildcard anywhere but as its first label.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        if lower == "*" {
            return Err("\"*\" is not a host pattern: leave `hosts` empty to match any".to_owned());
        }
        if let Some(suffix) = lower.strip_prefix('*') {
            return match suffix.strip_prefix('.') {
                Some(name) if is_host_name(name) => Ok(Self::Wildcard(suffix.into())),
                _ => Err(not_a_pattern(text)),
            };
        }
        let is_address = lower
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
        if is_address || is_host_name(&lower) {
            Ok(Self::Exact(lower.into()))
        } else {
            Err(not_a_pattern(text))
        }
    }

    /// Whether a host in the form of [`normalised`] matches.
    pub(super) fn is_match(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Wildcard(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
            Self::Exact(name) => &**name == host,
        }
    }

    pub(super) fn rank(&self) -> HostRank {
        match self {
            Self::Any => HostRank::Any,
            Self::Wildcard(suffix) => HostRank::Wildcard(suffix.len()),
            Self::Exact(_) => HostRank::Exact,
        }
    }

    /// The pattern as it is written, or nothing when it is any host.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Any => None,
            Self::Wildcard(suffix) => Some(format!("*{suffix}")),
            Self::Exact(name) => Some(name.as_ref().to_owned()),
        }
    }
}

/// The part of `host` that is compared: no port, no trailing dot, lower case. Borrows from `buffer`
/// only when a letter has to be lowered. Empty when the host is longer than a name can be.
pub(super) fn normalised<'a>(host: &'a str, buffer: &'a mut HostBuffer) -> &'a str {
    let name = without_port(host);
    let name = name.strip_suffix('.').unwrap_or(name);
    let Some(room) = buffer.get_mut(..name.len()) else {
        return "";
    };
    if !name.bytes().any(|b| b.is_ascii_uppercase()) {
        return name;
    }
    room.copy_from_slice(name.as_bytes());
    room.make_ascii_lowercase();
    std::str::from_utf8(room).unwrap_or("")
}

/// `host` without `:port`. An address in brackets keeps its brackets; a bare IPv6 address stays whole.
pub(crate) fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host
            .find(']')
            .and_then(|end| host.get(..=end))
            .unwrap_or(host);
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

/// The suffixes of `host` that a wildcard may have, longest first: `.b.c` and `.c` of `a.b.c`.
pub(super) fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    memchr::memchr_iter(b'.', host.as_bytes())
        .filter(|at| *at > 0)
        .filter_map(|at| host.get(at..))
}

fn is_host_name(name: &str) -> bool {
    name.len() <= MAX_HOST
        && name.split('.').all(|label| {
            let bytes = label.as_bytes();
            !bytes.is_empty()
                && bytes.len() <= 63
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

fn not_a_pattern(text: &str) -> String {
    format!("\"{text}\" is not a host: write api.example.com or *.example.com, without a port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_names_addresses_or_leading_wildcards() {
        for good in [
            "example.com",
            "API.Example.com",
            "*.example.com",
            "localhost",
            "192.0.2.1",
            "[2001:db8::1]",
            "a_b.example",
        ] {
            assert!(HostPattern::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "*example.com",
            "a.*.com",
            "*.",
            "*.*.com",
            "example.com:80",
            "a..b",
            ".a",
            "a b",
            "é.com",
            "[::1]:80",
            "2001:db8::1",
            &"a.".repeat(140),
        ] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_lose_port_dot_and_case() {
        for (host, want) in [
            ("Example.COM:8080", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:80", "example.com"),
            ("[2001:DB8::1]:80", "[2001:db8::1]"),
            ("[::1]", "[::1]"),
            ("2001:db8::1", "2001:db8::1"),
            ("", ""),
            (&"x".repeat(254), ""),
        ] {
            assert_eq!(normalised(host, &mut [0; MAX_HOST]), want, "{host}");
        }
    }

    #[test]
    fn suffixes_need_a_label_before_them() {
        assert_eq!(suffixes("a.b.c").collect::<Vec<_>>(), [".b.c", ".c"]);
        assert_eq!(suffixes(".b.c").collect::<Vec<_>>(), [".c"]);
        assert_eq!(suffixes("localhost").count(), 0);
    }
}
