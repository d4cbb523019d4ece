//! The messages of etcd's JSON gateway: bytes in base64, large numbers as text, and what is zero left out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub(super) revision: u64,
}

/// The answer to a reading.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Range {
    pub(super) header: Header,
    pub(super) kvs: Vec<Kv>,
}

/// A key with its value.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Kv {
    #[serde(deserialize_with = "decoded")]
    pub(super) key: Vec<u8>,
    #[serde(deserialize_with = "decoded")]
    pub(super) value: Vec<u8>,
    #[serde(deserialize_with = "number")]
    pub(super) mod_revision: u64,
}

/// A change of a key that happens only as long as nobody else has changed it.
#[derive(Debug, Serialize)]
pub(super) struct Txn {
    compare: Vec<Value>,
    success: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TxnReply {
    pub(super) succeeded: bool,
}

/// A message of a watch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Frame {
    pub(super) result: Option<WatchReply>,
    pub(super) error: Option<Fault>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WatchReply {
    pub(super) canceled: bool,
    #[serde(deserialize_with = "number")]
    pub(super) compact_revision: u64,
    pub(super) cancel_reason: String,
    pub(super) events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    #[serde(rename = "type")]
    kind: String,
    pub(super) kv: Kv,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fault {
    pub(super) message: String,
}

/// Asks for all keys that begin so.
pub(super) fn range(prefix: &str) -> Value {
    json!({ "key": encoded(prefix.as_bytes()), "range_end": encoded(&after(prefix.as_bytes())) })
}

/// Asks for one key.
pub(super) fn get(key: &str) -> Value {
    json!({ "key": encoded(key.as_bytes()) })
}

/// Asks for changes from a revision on.
pub(super) fn watch(prefix: &str, revision: u64) -> Value {
    let mut request = range(prefix);
    if let Some(fields) = request.as_object_mut() {
        fields.insert("start_revision".to_owned(), revision.to_string().into());
    }
    json!({ "create_request": request })
}

/// The first key that doesn't begin so: the last byte that can be is one more.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // All keys.
    vec![0]
}

fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn decoded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(u64),
    }
    match Either::deserialize(deserializer)? {
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        Either::Number(number) => Ok(number),
    }
}

// === impl Txn ===

impl Txn {
    /// Writes a key that was last changed at `revision`; 0: that isn't there.
    pub(super) fn put_if(key: &[u8], revision: u64, value: &[u8]) -> Self {
        let put = json!({ "request_put": { "key": encoded(key), "value": encoded(value) } });
        Self::of(key, revision, put)
    }

    /// Deletes a key that was last changed at `revision`.
    pub(super) fn delete_if(key: &[u8], revision: u64) -> Self {
        let delete = json!({ "request_delete_range": { "key": encoded(key) } });
        Self::of(key, revision, delete)
    }

    fn of(key: &[u8], revision: u64, change: Value) -> Self {
        let compare = json!({
            "key": encoded(key),
            "target": "MOD",
            "result": "EQUAL",
            "mod_revision": revision.to_string(),
        });
        Self {
            compare: vec![compare],
            success: vec![change],
        }
    }
}

// === impl Event ===

impl Event {
    pub(super) fn is_delete(&self) -> bool {
        self.kind == "DELETE"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_as_text_and_zeros_not_at_all() {
        let text = r#"{"header":{"cluster_id":"14841639068965178418","revision":"7"},
            "kvs":[{"key":"L3MvYQ==","mod_revision":"2","value":"aGVsbG8="}],"count":"1"}"#;
        let range: Range = serde_json::from_str(text).unwrap();
        assert_eq!((range.header.revision, range.kvs[0].mod_revision), (7, 2));
        assert_eq!(
            (&*range.kvs[0].key, &*range.kvs[0].value),
            (&b"/s/a"[..], &b"hello"[..])
        );
        let none: Range = serde_json::from_str("{}").unwrap();
        assert!(none.kvs.is_empty());
        let reply: TxnReply = serde_json::from_str(r#"{"responses":[]}"#).unwrap();
        assert!(!reply.succeeded);
        let deleted = r#"{"result":{"events":[{"type":"DELETE","kv":{"key":"L3MvYg=="}}]}}"#;
        let frame: Frame = serde_json::from_str(deleted).unwrap();
        assert!(frame.result.unwrap().events[0].is_delete());
    }

    #[test]
    fn a_prefix_ends_where_no_key_begins_so() {
        assert_eq!(after(b"/s/"), b"/s0");
        assert_eq!(after(&[b'a', 0xff]), b"b");
        assert_eq!(after(&[0xff]), [0]);
    }
}
