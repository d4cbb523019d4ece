//! Scalars as operators write them: `250ms`, `16KiB`, `20%`.
//!
//! A bare number is refused where a unit decides its meaning: `timeout: 30` has meant seconds in one
//! product and milliseconds in the next.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A duration with a unit: `us`, `ms`, `s`, `m`, `h` or `d`; parts may be joined (`1m30s`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DurationText(pub Duration);

/// A size in bytes with an optional unit: `512`, `16KiB`, `1MiB`, `2GiB`, or `kB`/`MB`/`GB` (powers of ten).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(pub u64);

/// A share from 0 to 100 per cent, written `20%` or `0.5%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(f64);

const DURATION_UNITS: [(&str, u64); 6] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

const SIZE_UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

// === impl DurationText ===

impl DurationText {
    /// `millis` milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// `secs` seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Parses `1m30s`.
    ///
    /// # Errors
    /// A reason, when a unit is missing or unknown, or the sum exceeds 584 years.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut nanos = 0u64;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err("an empty duration".into());
        }
        while !rest.is_empty() {
            let (value, unit, tail) = number_and_unit(rest).ok_or_else(|| {
                format!("\"{text}\" is not a duration: write 250ms, 1.5s or 1m30s")
            })?;
            if unit.is_empty() {
                return Err(format!(
                    "the duration \"{text}\" needs a unit: ms, s, m, h or d"
                ));
            }
            let scale = DURATION_UNITS
                .iter()
                .find_map(|(name, scale)| (*name == unit).then_some(*scale))
                .ok_or_else(|| {
                    format!("\"{unit}\" is no unit of time: use us, ms, s, m, h or d")
                })?;
            let part = scaled(value, scale).ok_or_else(|| format!("\"{text}\" is too long"))?;
            nanos = nanos
                .checked_add(part)
                .ok_or_else(|| format!("\"{text}\" is too long"))?;
            rest = tail;
        }
        Ok(Self(Duration::from_nanos(nanos)))
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        if nanos == 0 {
            return f.write_str("0s");
        }
        let (unit, scale) = DURATION_UNITS
            .iter()
            .rev()
            .find(|(_, scale)| nanos.is_multiple_of(*scale))
            .copied()
            .unwrap_or(("us", 1_000));
        write!(f, "{}{unit}", nanos / scale)
    }
}

// === impl ByteSize ===

impl ByteSize {
    /// The size in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The size in bytes as a length in memory.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Parses `16KiB`.
    ///
    /// # Errors
    /// A reason, when it is not a number with a known unit.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (value, unit, rest) = number_and_unit(text.trim())
            .ok_or_else(|| format!("\"{text}\" is not a size: write 512, 16KiB or 1MiB"))?;
        let scale = SIZE_UNITS
            .iter()
            .find_map(|(name, scale)| (*name == unit).then_some(*scale));
        match (scale, rest) {
            (Some(scale), "") => scaled(value, scale)
                .map(Self)
                .ok_or_else(|| format!("\"{text}\" is too large")),
            _ => Err(format!(
                "\"{text}\" is not a size: use B, KiB, MiB, GiB, kB, MB or GB"
            )),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
            .into_iter()
            .find(|(_, scale)| self.0 > 0 && self.0.is_multiple_of(*scale))
            .unwrap_or(("", 1));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

// === impl Percent ===

impl Percent {
    /// A share of `value` per cent, limited to 0 to 100.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self(value.clamp(0.0, 100.0))
    }

    /// The share from 0.0 to 1.0.
    #[must_use]
    pub const fn ratio(self) -> f64 {
        self.0 / 100.0
    }

    /// Parses `20%`.
    ///
    /// # Errors
    /// A reason, when the sign is missing or the number is outside 0 to 100.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text
            .trim()
            .strip_suffix('%')
            .ok_or_else(|| format!("the share \"{text}\" needs a per cent sign, as in 20%"))?;
        match digits.trim().parse::<f64>() {
            Ok(value) if (0.0..=100.0).contains(&value) => Ok(Self(value)),
            _ => Err(format!("\"{text}\" is not a share from 0% to 100%")),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

macro_rules! text_scalar {
    ($($name:ident: $format:literal, $example:literal;)+) => {$(
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": $format, "examples": [$example] })
            }
        }
    )+};
}

text_scalar! {
    DurationText: "duration", "250ms";
    ByteSize: "size", "16KiB";
    Percent: "percent", "20%";
}

macro_rules! text_formats {
    ($($(#[$doc:meta])* $name:ident: $format:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": $format })
            }
        }
    )+};
}

text_formats! {
    /// Schema of the name of a header field, for lists of them.
    HeaderNameFormat: "header-name";
    /// Schema of a request method, for lists of them.
    MethodFormat: "method";
    /// Schema of a host name or wildcard, for lists of them.
    HostPatternFormat: "host-pattern";
    /// Schema of an address or name with a port, for lists of them.
    ServerAddressFormat: "server-address";
}

/// Splits `1.5s30` into `1.5`, `s` and `30`.
fn number_and_unit(text: &str) -> Option<(&str, &str, &str)> {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(digits)?;
    let letters = rest
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let (unit, tail) = rest.split_at_checked(letters)?;
    (!number.is_empty() && unit.is_empty() == rest.is_empty()).then_some((number, unit, tail))
}

/// `number × scale`, or nothing when it is no number or does not fit. Whole numbers stay exact.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale);
    }
    let product = number.parse::<f64>().ok()? * scale as f64;
    (product.is_finite() && product >= 0.0 && product < u64::MAX as f64)
        .then_some(product.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(DurationText::parse("1m30s"), Ok(DurationText::secs(90)));
        assert_eq!(DurationText::parse("0.5s"), Ok(DurationText::millis(500)));
        for bad in ["30", "", "s", "1x", "1s 2", "-1s", "1..2s", "999999999999d"] {
            assert!(DurationText::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_shares_are_checked() {
        assert_eq!(ByteSize::parse("16KiB"), Ok(ByteSize(16384)));
        assert_eq!(ByteSize::parse("512"), Ok(ByteSize(512)));
        assert!(ByteSize::parse("16k").is_err());
        assert!((Percent::parse("20%").unwrap().ratio() - 0.2).abs() < 1e-12);
        for bad in ["20", "-1%", "101%", "NaN%", "%"] {
            assert!(Percent::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(micros in 0u64..1u64 << 50, bytes in 0u64..1u64 << 52) {
            let duration = DurationText(Duration::from_micros(micros));
            prop_assert_eq!(DurationText::parse(&duration.to_string()), Ok(duration));
            prop_assert_eq!(ByteSize::parse(&ByteSize(bytes).to_string()), Ok(ByteSize(bytes)));
        }

        #[test]
        fn any_text_is_answered_without_panic(text in ".{0,40}") {
            let _ = (DurationText::parse(&text), ByteSize::parse(&text), Percent::parse(&text));
        }
    }
}
