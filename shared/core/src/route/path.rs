//! Conditions on the path.
//!
//! A path is compared as it was sent: nothing is percent-decoded and no dot segments are resolved,
//! because the server gets the same bytes and would otherwise see another path than the one that was
//! judged. A route is therefore no access control: a server that resolves `/public/../admin` serves it.
//!
//! Prefixes match whole segments, as in the Gateway API; nginx's plain prefixes let `/api` catch `/apis`.

use super::RouteError;
use crate::config::model::PathMatch;
use regex::bytes::{Regex, RegexBuilder};

/// Memory that one compiled expression, or its lazy automaton, may take, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// A compiled condition on the path.
#[derive(Debug, Clone)]
pub(super) enum PathRule {
    Any,
    Regex(Regex, usize),
    /// Without trailing slashes, never empty.
    Prefix(Box<str>),
    Exact(Box<str>),
}

/// How specific a path condition is; the greater wins. Lengths are those of the pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathRank {
    Any,
    Regex(usize),
    Prefix(usize),
    Exact,
}

// === impl PathRule ===

impl PathRule {
    /// Compiles a condition. The prefix `/` says what no condition says, and is treated as such.
    pub(super) fn new(route: &str, path: Option<&PathMatch>) -> Result<Self, RouteError> {
        let error = |key: &str, reason: String| Err(RouteError::new(route, key, reason));
        let Some(path) = path else {
            return Ok(Self::Any);
        };
        match (&path.exact, &path.prefix, &path.regex) {
            (Some(exact), None, None) => match fault(exact) {
                Some(reason) => error("match.path.exact", reason),
                None => Ok(Self::Exact(exact.as_str().into())),
            },
            (None, Some(prefix), None) => match fault(prefix) {
                Some(reason) => error("match.path.prefix", reason),
                None => Ok(match prefix.trim_end_matches('/') {
                    "" => Self::Any,
                    trimmed => Self::Prefix(trimmed.into()),
                }),
            },
            (None, None, Some(pattern)) => match compile(pattern) {
                Ok(regex) => Ok(Self::Regex(regex, pattern.len())),
                Err(reason) => error("match.path.regex", reason),
            },
            _ => error(
                "match.path",
                "needs exactly one of exact, prefix and regex".into(),
            ),
        }
    }

    pub(super) fn is_match(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => &**exact == path,
            Self::Prefix(prefix) => path
                .strip_prefix(&**prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Self::Regex(regex, _) => regex.is_match(path.as_bytes()),
        }
    }

    pub(super) fn rank(&self) -> PathRank {
        match self {
            Self::Any => PathRank::Any,
            Self::Regex(_, len) => PathRank::Regex(*len),
            Self::Prefix(prefix) => PathRank::Prefix(prefix.len()),
            Self::Exact(_) => PathRank::Exact,
        }
    }

    /// A text that is equal for two rules only when they match the same paths for the same reason.
    pub(super) fn identity(&self) -> (u8, &str) {
        match self {
            Self::Any => (0, ""),
            Self::Regex(regex, _) => (1, regex.as_str()),
            Self::Prefix(prefix) => (2, prefix),
            Self::Exact(exact) => (3, exact),
        }
    }
}

/// Compiles `pattern` so that it must match the whole text.
///
/// Matching takes time linear in the text whatever the pattern: the engine never backtracks.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    // Alone first: `a)|(b` would be valid inside the group, and faults would point into our wrapping.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}

fn build(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(REGEX_SIZE)
        .dfa_size_limit(REGEX_SIZE)
        .build()
        .map_err(|error| error.to_string())
}

fn fault(path: &str) -> Option<String> {
    if !path.starts_with('/') {
        return Some(format!("\"{path}\" must start with a slash"));
    }
    path.bytes()
        .any(|b| !b.is_ascii_graphic() || matches!(b, b'?' | b'#'))
        .then(|| {
            format!(
                "\"{path}\" can't match: no request's path holds spaces, '?', '#' or bytes that are not ASCII"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: &str, text: &str) -> Result<PathRule, RouteError> {
        let text = Some(text.to_owned());
        let mut path = PathMatch::default();
        match kind {
            "exact" => path.exact = text,
            "prefix" => path.prefix = text,
            _ => path.regex = text,
        }
        PathRule::new("r", Some(&path))
    }

    #[test]
    fn prefixes_match_whole_segments() {
        for prefix in ["/api", "/api/"] {
            let rule = rule("prefix", prefix).unwrap();
            for path in ["/api", "/api/", "/api/x", "/api//"] {
                assert!(rule.is_match(path), "{prefix} {path}");
            }
            for path in ["/apis", "/ap", "/", "/API", "/x/api"] {
                assert!(!rule.is_match(path), "{prefix} {path}");
            }
        }
        assert!(matches!(rule("prefix", "/").unwrap(), PathRule::Any));
    }

    #[test]
    fn expressions_match_the_whole_path() {
        let rule = rule("regex", "/v[0-9]+|/x").unwrap();
        assert!(rule.is_match("/v12") && rule.is_match("/x"));
        assert!(!rule.is_match("/v12/") && !rule.is_match("/xy") && !rule.is_match("a/x"));
    }

    #[test]
    fn faults_name_the_key() {
        for (kind, text) in [
            ("exact", "api"),
            ("exact", "/a?b"),
            ("prefix", "/a b"),
            ("prefix", ""),
            ("regex", "(/a"),
            ("regex", "/a)|(?:/b"),
            ("regex", "(?x)/a # comment"),
            ("regex", r"(\w{100}){100}"),
        ] {
            let error = rule(kind, text).unwrap_err();
            assert_eq!(error.key, format!("match.path.{kind}"), "{text}");
        }
        assert!(PathRule::new("r", Some(&PathMatch::default())).is_err());
    }
}
