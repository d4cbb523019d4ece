//! The compact form for a response field.
//!
//! `v=1;r=eu;n=eu-1;b=1754000000000;s=42;et=3;eh=2;hw=0.666667;i=12;q=310.5;sh=0;er=0.001;c=900;u=0.62;d=0`
//!
//! The version comes first, the rest in any order. Unknown keys are skipped, so that a newer tier can
//! say more; a key that is missing, given twice or malformed makes the whole report void, because half
//! a report would be taken for a changed region.

use super::RegionReport;
use super::measure::Rate;
use crate::name::{RegionName, ReplicaName};
use std::fmt::Write as _;

/// The response field that carries the compact form.
pub const HEADER: &str = "x-lb-region-load";

/// Longest compact form that is read, in bytes. Ours are below 400.
pub const MAX_COMPACT: usize = 1024;

/// The form that is written, and the only one that is read.
const VERSION: &str = "v=1";

/// Why a compact form was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// Longer than [`MAX_COMPACT`].
    #[error("longer than {MAX_COMPACT} bytes")]
    TooLong,
    /// It doesn't begin with a version that we know.
    #[error("does not begin with {VERSION}")]
    Version,
    /// A part is not `key=value`.
    #[error("a part is not key=value")]
    Shape,
    /// A required key is missing.
    #[error("key \"{0}\" is missing")]
    Missing(&'static str),
    /// A key is given twice.
    #[error("key \"{0}\" is given twice")]
    Twice(&'static str),
    /// The value of a key is malformed or out of range.
    #[error("the value of key \"{0}\" is malformed or out of range")]
    Value(&'static str),
}

const KEYS: [&str; 14] = [
    "r", "n", "b", "s", "et", "eh", "hw", "c", "i", "q", "u", "sh", "er", "d",
];

/// The values found, by the position of their key in [`KEYS`].
struct Fields<'a>([Option<&'a str>; KEYS.len()]);

// === impl RegionReport ===

impl RegionReport {
    /// The compact form: printable ASCII without spaces, shorter than [`MAX_COMPACT`].
    #[must_use]
    pub fn to_compact(&self) -> String {
        let mut out = String::with_capacity(160);
        // Writing to a String can't fail.
        let _ = write!(
            out,
            "{VERSION};r={};n={};b={};s={};et={};eh={};hw={};i={};q={};sh={};er={}",
            self.region,
            self.replica,
            self.boot_id,
            self.seq,
            self.endpoints_total,
            self.endpoints_healthy,
            self.healthy_weight_fraction,
            self.inflight,
            self.rps,
            self.shed_rate,
            self.err_rate,
        );
        if let Some(capacity) = self.capacity_rps {
            let _ = write!(out, ";c={capacity}");
        }
        if let Some(utilization) = self.utilization {
            let _ = write!(out, ";u={utilization}");
        }
        // Required and of one digit, so as the last one it makes a text that was cut off void.
        let _ = write!(out, ";d={}", u8::from(self.draining));
        out
    }

    /// Reads the compact form.
    ///
    /// # Errors
    /// [`CompactError`]; the report is then to be ignored and counted, and the last one stays.
    pub fn from_compact(text: &str) -> Result<Self, CompactError> {
        let fields = Fields::read(text)?;
        Ok(Self {
            region: fields.parse("r", |v| RegionName::new(v).ok())?,
            replica: fields.parse("n", |v| ReplicaName::new(v).ok())?,
            boot_id: fields.parse("b", integer)?,
            seq: fields.parse("s", integer)?,
            endpoints_total: fields.parse("et", integer)?,
            endpoints_healthy: fields.parse("eh", integer)?,
            healthy_weight_fraction: fields.parse("hw", measure)?,
            capacity_rps: fields.optional("c", measure)?,
            inflight: fields.parse("i", integer)?,
            rps: fields.parse::<Rate>("q", measure)?,
            utilization: fields.optional("u", measure)?,
            shed_rate: fields.parse("sh", measure)?,
            err_rate: fields.parse("er", measure)?,
            draining: fields.parse("d", |v| match v {
                "0" => Some(false),
                "1" => Some(true),
                _ => None,
            })?,
        })
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, CompactError> {
        if text.len() > MAX_COMPACT {
            return Err(CompactError::TooLong);
        }
        let mut parts = text.split(';').map(str::trim);
        if parts.next() != Some(VERSION) {
            return Err(CompactError::Version);
        }
        let mut fields = Self([None; KEYS.len()]);
        for part in parts {
            let (key, value) = part.split_once('=').ok_or(CompactError::Shape)?;
            let slots = KEYS.iter().zip(fields.0.iter_mut());
            for (known, slot) in slots.filter(|(known, _)| **known == key) {
                if slot.replace(value).is_some() {
                    return Err(CompactError::Twice(known));
                }
            }
        }
        Ok(fields)
    }

    fn optional<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, CompactError> {
        let slots = KEYS.iter().zip(self.0);
        slots
            .filter(|(known, _)| **known == key)
            .find_map(|(_, value)| value)
            .map(|value| parse(value).ok_or(CompactError::Value(key)))
            .transpose()
    }

    fn parse<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, CompactError> {
        self.optional(key, parse)?.ok_or(CompactError::Missing(key))
    }
}

/// Digits only: `str::parse` would take a plus sign too.
fn integer<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Digits and a point only: `str::parse` would take `NaN`, `inf` and exponents too.
fn measure<T: TryFrom<f64>>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value = plain.then(|| text.parse::<f64>().ok()).flatten()?;
    T::try_from(value).ok()
}
