//! Checks of text that a schema names but cannot express: durations, sizes, addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Says why a text is not of the format. The reason completes "… is not valid: ".
pub type Check = fn(&str) -> Result<(), String>;

/// The table from the `format` of a schema to its check.
///
/// Types carry their format in their schema (`"format": "duration"`), and the caller passes the very
/// parser that the type's `Deserialize` uses, so that each such fault is found in place and with all
/// others, instead of one per run from serde. A format that is not in the table is not checked here
/// (JSON Schema calls formats annotations); serde still judges it.
#[derive(Clone, Debug)]
pub struct Formats(Vec<(&'static str, Check)>);

// === impl Formats ===

impl Formats {
    /// The formats that the standard library can check: `ip`, `ipv4`, `ipv6`.
    #[must_use]
    pub fn new() -> Self {
        Formats(vec![
            ("ip", |text| parses::<IpAddr>(text, "10.0.0.1 or ::1")),
            ("ipv4", |text| parses::<Ipv4Addr>(text, "10.0.0.1")),
            ("ipv6", |text| parses::<Ipv6Addr>(text, "::1")),
        ])
    }

    /// Adds a check; it replaces an earlier one of the same name.
    #[must_use]
    pub fn with(mut self, name: &'static str, check: Check) -> Self {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, check));
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<Check> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|&(_, check)| check)
    }
}

impl Default for Formats {
    fn default() -> Self {
        Formats::new()
    }
}

impl FromIterator<(&'static str, Check)> for Formats {
    /// [`Formats::new`] with these checks added.
    fn from_iter<I: IntoIterator<Item = (&'static str, Check)>>(checks: I) -> Self {
        checks
            .into_iter()
            .fold(Formats::new(), |formats, (name, check)| {
                formats.with(name, check)
            })
    }
}

fn parses<T: std::str::FromStr>(text: &str, expected: &str) -> Result<(), String> {
    text.parse::<T>()
        .map(drop)
        .map_err(|_reason| format!("expected something like {expected}"))
}
