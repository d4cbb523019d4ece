//! Header edits of a route, compiled once.
//!
//! Names and values are parsed when the configuration is read, so that applying them can't fail and
//! copies no text. Order: remove, set, add; so a field can be removed and given a new value at once.
//!
//! Fields that frame the message or belong to one connection can't be edited: the proxy writes them
//! from what it knows about the bytes, and a value from a file would put both out of step (request
//! smuggling by configuration). `host` has its own key, because changing it is more than an edit.

use crate::config::model::HeaderEdits;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields that can't be edited, and why.
const FORBIDDEN: [(&str, &str); 11] = [
    ("content-length", FRAMING),
    ("transfer-encoding", FRAMING),
    ("trailer", FRAMING),
    ("connection", HOP),
    ("keep-alive", HOP),
    ("proxy-connection", HOP),
    ("te", HOP),
    ("upgrade", HOP),
    ("http2-settings", HOP),
    ("expect", "it is answered hop by hop"),
    ("host", "use rewrite.host"),
];
const FRAMING: &str = "it frames the message and is written from the message itself";
const HOP: &str = "it belongs to one connection and never travels on";

/// Why an edit can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct EditError {
    /// The key, such as `set.content-length`.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Header edits, ready to be applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderPlan {
    remove: Box<[HeaderName]>,
    set: Box<[(HeaderName, HeaderValue)]>,
    add: Box<[(HeaderName, HeaderValue)]>,
}

/// What a plan is applied to: the header fields of a request or a response.
pub trait HeaderSink {
    /// Removes all values of a field.
    fn remove(&mut self, name: &HeaderName);
    /// Sets a field to one value.
    fn set(&mut self, name: &HeaderName, value: &HeaderValue);
    /// Adds a value to a field.
    fn add(&mut self, name: &HeaderName, value: &HeaderValue);
}

// === impl HeaderPlan ===

impl HeaderPlan {
    /// Compiles edits.
    ///
    /// # Errors
    /// The first key whose name or value can't be parsed or must not be edited.
    pub fn new(edits: &HeaderEdits) -> Result<Self, EditError> {
        let remove = edits
            .remove
            .iter()
            .enumerate()
            .map(|(index, name)| field_name(&format!("remove[{index}]"), name))
            .collect::<Result<_, _>>()?;
        let pairs = |verb: &str, from: &std::collections::BTreeMap<String, String>| {
            from.iter()
                .map(|(name, value)| pair(&format!("{verb}.{name}"), name, value))
                .collect::<Result<Box<_>, _>>()
        };
        Ok(Self {
            remove,
            set: pairs("set", &edits.set)?,
            add: pairs("add", &edits.add)?,
        })
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Makes the edits.
    pub fn apply(&self, sink: &mut impl HeaderSink) {
        for name in &self.remove {
            sink.remove(name);
        }
        for (name, value) in &self.set {
            sink.set(name, value);
        }
        for (name, value) in &self.add {
            sink.add(name, value);
        }
    }
}

impl HeaderSink for HeaderMap {
    fn remove(&mut self, name: &HeaderName) {
        HeaderMap::remove(self, name);
    }

    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        // Only a map of 32,768 fields refuses, which no limit lets through.
        let _ = self.try_insert(name.clone(), value.clone());
    }

    fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        let _ = self.try_append(name.clone(), value.clone());
    }
}

fn field_name(key: &str, name: &str) -> Result<HeaderName, EditError> {
    let error = |reason: String| EditError {
        key: key.to_owned(),
        reason,
    };
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_invalid| error(format!("\"{name}\" is not the name of a header field")))?;
    match FORBIDDEN
        .iter()
        .find(|(field, _)| *field == parsed.as_str())
    {
        Some((field, why)) => Err(error(format!("{field} can't be edited: {why}"))),
        None => Ok(parsed),
    }
}

fn pair(key: &str, name: &str, value: &str) -> Result<(HeaderName, HeaderValue), EditError> {
    let name = field_name(key, name)?;
    let value = HeaderValue::from_str(value).map_err(|_invalid| EditError {
        key: key.to_owned(),
        reason: "the value holds a control character".to_owned(),
    })?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> HeaderEdits {
        let pairs = |from: &[(&str, &str)]| {
            from.iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        HeaderEdits {
            remove: remove.iter().map(|name| (*name).to_owned()).collect(),
            set: pairs(set),
            add: pairs(add),
        }
    }

    #[test]
    fn edits_run_in_order_remove_set_add() {
        let plan = HeaderPlan::new(&edits(
            &["X-A", "x-b"],
            &[("X-A", "1"), ("x-c", "2")],
            &[("x-c", "3"), ("x-d", "4")],
        ))
        .unwrap();
        let mut map = HeaderMap::new();
        for name in ["x-a", "x-b", "x-c", "x-c", "x-d"] {
            map.append(name, HeaderValue::from_static("old"));
        }
        plan.apply(&mut map);
        let values = |name: &str| {
            map.get_all(name)
                .iter()
                .map(|v| v.to_str().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(values("x-a"), ["1"]);
        assert!(values("x-b").is_empty());
        assert_eq!(values("x-c"), ["2", "3"]);
        assert_eq!(values("x-d"), ["old", "4"]);
        assert!(!plan.is_empty() && HeaderPlan::default().is_empty());
    }

    #[test]
    fn framing_and_bad_fields_are_refused_by_key() {
        for (bad, key) in [
            (edits(&["x", "Content-Length"], &[], &[]), "remove[1]"),
            (
                edits(&[], &[("Transfer-Encoding", "chunked")], &[]),
                "set.Transfer-Encoding",
            ),
            (
                edits(&[], &[], &[("connection", "close")]),
                "add.connection",
            ),
            (edits(&[], &[("HOST", "a")], &[]), "set.HOST"),
            (edits(&[], &[("a b", "1")], &[]), "set.a b"),
            (edits(&[], &[("", "1")], &[]), "set."),
            (edits(&[], &[("a", "1\r\nb: 2")], &[]), "set.a"),
        ] {
            assert_eq!(HeaderPlan::new(&bad).unwrap_err().key, key);
        }
        for (name, _) in FORBIDDEN {
            let error = HeaderPlan::new(&edits(&[name], &[], &[])).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
