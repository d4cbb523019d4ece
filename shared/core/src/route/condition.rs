//! Conditions on method and header fields.
//!
//! A field that occurs several times satisfies a condition when one of its values does. Joining the
//! values by commas first, as Envoy does, would need memory per request and would let `exact: a` fail
//! on a repeated field. `invert` negates the whole, so it also holds when the field is absent.

use super::RouteError;
use super::path::compile;
use crate::config::model::HeaderMatch;
use http::{HeaderMap, HeaderName, Method};
use regex::bytes::Regex;

/// A compiled condition on a header field.
#[derive(Debug, Clone)]
pub(super) struct HeaderRule {
    pub(super) name: HeaderName,
    test: ValueTest,
    invert: bool,
}

#[derive(Debug, Clone)]
enum ValueTest {
    Present,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Regex(Regex),
}

// === impl HeaderRule ===

impl HeaderRule {
    pub(super) fn new(route: &str, index: usize, from: &HeaderMatch) -> Result<Self, RouteError> {
        let error = |key: &str, reason: String| {
            RouteError::new(route, &format!("match.headers[{index}]{key}"), reason)
        };
        let name = HeaderName::from_bytes(from.name.as_bytes()).map_err(|_invalid| {
            error(
                ".name",
                format!("\"{}\" is not the name of a header field", from.name),
            )
        })?;
        let test = match (&from.exact, &from.prefix, &from.regex) {
            (None, None, None) => ValueTest::Present,
            (Some(exact), None, None) => ValueTest::Exact(exact.as_bytes().into()),
            (None, Some(prefix), None) => ValueTest::Prefix(prefix.as_bytes().into()),
            (None, None, Some(regex)) => {
                ValueTest::Regex(compile(regex).map_err(|reason| error(".regex", reason))?)
            }
            _ => {
                return Err(error(
                    "",
                    "takes at most one of exact, prefix and regex".into(),
                ));
            }
        };
        Ok(Self {
            name,
            test,
            invert: from.invert,
        })
    }

    pub(super) fn is_match(&self, headers: &HeaderMap) -> bool {
        let holds = match &self.test {
            ValueTest::Present => headers.contains_key(&self.name),
            test => headers
                .get_all(&self.name)
                .iter()
                .any(|value| test.is_match(value.as_bytes())),
        };
        holds != self.invert
    }

    /// A text that is equal for two conditions only when they are the same.
    pub(super) fn identity(&self) -> (String, u8, Vec<u8>, bool) {
        let (kind, value) = match &self.test {
            ValueTest::Present => (0, Vec::new()),
            ValueTest::Exact(value) => (1, value.to_vec()),
            ValueTest::Prefix(value) => (2, value.to_vec()),
            ValueTest::Regex(regex) => (3, regex.as_str().as_bytes().to_vec()),
        };
        (self.name.as_str().to_owned(), kind, value, self.invert)
    }
}

// === impl ValueTest ===

impl ValueTest {
    fn is_match(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(exact) => &**exact == value,
            Self::Prefix(prefix) => value.starts_with(prefix),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// Parses the methods of a route.
pub(super) fn methods(route: &str, from: &[String]) -> Result<Box<[Method]>, RouteError> {
    from.iter()
        .enumerate()
        .map(|(index, text)| {
            Method::from_bytes(text.as_bytes()).map_err(|_invalid| {
                let key = format!("match.methods[{index}]");
                RouteError::new(route, &key, format!("\"{text}\" is not a method"))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn condition(edit: impl FnOnce(&mut HeaderMatch)) -> HeaderRule {
        let mut from = HeaderMatch {
            name: "X-Env".into(),
            exact: None,
            prefix: None,
            regex: None,
            invert: false,
        };
        edit(&mut from);
        HeaderRule::new("r", 0, &from).unwrap()
    }

    fn fields(values: &[&'static str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append("x-env", HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn one_of_several_values_suffices() {
        let exact = condition(|c| c.exact = Some("test".into()));
        assert!(exact.is_match(&fields(&["live", "test"])));
        assert!(!exact.is_match(&fields(&["tests"])) && !exact.is_match(&fields(&[])));
        let prefix = condition(|c| c.prefix = Some("te".into()));
        assert!(prefix.is_match(&fields(&["test"])) && !prefix.is_match(&fields(&["live"])));
        let regex = condition(|c| c.regex = Some("te?st".into()));
        assert!(regex.is_match(&fields(&["tst"])) && !regex.is_match(&fields(&["a test"])));
        assert!(condition(|_| ()).is_match(&fields(&[""])));
    }

    #[test]
    fn inverted_conditions_hold_without_the_field() {
        let absent = condition(|c| c.invert = true);
        assert!(absent.is_match(&fields(&[])) && !absent.is_match(&fields(&["x"])));
        let other = condition(|c| {
            c.exact = Some("x".into());
            c.invert = true;
        });
        assert!(other.is_match(&fields(&[])) && other.is_match(&fields(&["y"])));
        assert!(!other.is_match(&fields(&["y", "x"])));
    }
}
