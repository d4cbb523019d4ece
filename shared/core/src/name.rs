//! Names that are safe as a metric label, a header value and a file name.
//!
//! Parsed once at the border and never checked again. Each kind has its own type, so that a region
//! can't be looked up among pools.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Longest name, in characters: a DNS label's length (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 63;

/// Why a text can't be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a name: use 1 to 63 letters, digits, '-', '_' or '.', starting and ending with a letter or digit"
)]
pub struct InvalidName(String);

/// Whether `text` is a valid name: 1 to 63 of `[A-Za-z0-9._-]`, with a letter or digit at both ends.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= MAX_NAME
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

macro_rules! name_types {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name.
            ///
            /// # Errors
            /// [`InvalidName`] when the text is not of the form that [`is_name`] tells.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                if is_name(text) { Ok(Self(text.into())) } else { Err(InvalidName(text.to_owned())) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": "name" })
            }
        }
    )+};
}

name_types! {
    /// A route's name: the `route` label of metrics and logs.
    RouteName,
    /// A pool's name: endpoints under one policy.
    PoolName,
    /// A server's name inside its pool; at the global tier, a regional replica's name.
    ServerName,
    /// A region's name: a failure domain with its own replicas.
    RegionName,
    /// A zone's name: a part of a region.
    ZoneName,
    /// The name of one process of a tier.
    ReplicaName,
    /// A listener's name.
    ListenerName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_as_labels_and_header_values() {
        for good in ["a", "web-1", "eu-west.1", "A_b", &"x".repeat(63)] {
            assert!(PoolName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "é", "a/b", "a\n", &"x".repeat(64)] {
            assert!(PoolName::new(bad).is_err(), "{bad}");
        }
    }
}
