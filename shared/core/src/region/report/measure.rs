//! Numbers of a report: finite, in range, and rounded so that text gives them back exactly.
//!
//! A NaN in a weight or a share spreads through every sum that it enters, and compares as false
//! wherever a limit is checked. It is refused at the border and can't be made inside. Rounding to a few
//! decimals keeps the texts short, and short decimals are parsed exactly by every correct parser.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A number that can't be a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a number from 0 to {max}")]
pub struct OutOfRange {
    max: u64,
}

macro_rules! measures {
    ($($(#[$doc:meta])* $name:ident: max $max:literal, steps $steps:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0.0);

            /// The largest value.
            pub const MAX: Self = Self($max as f64);

            /// The value, rounded.
            ///
            /// # Errors
            /// [`OutOfRange`] when it is NaN, negative or above the maximum.
            pub fn new(value: f64) -> Result<Self, OutOfRange> {
                if (0.0..=$max as f64).contains(&value) {
                    Ok(Self::saturating(value))
                } else {
                    Err(OutOfRange { max: $max })
                }
            }

            /// The nearest value in range; zero for NaN. For values of our own computing.
            #[must_use]
            pub fn saturating(value: f64) -> Self {
                if value > 0.0 {
                    Self((value.min($max as f64) * $steps as f64).round() / $steps as f64)
                } else {
                    Self::ZERO
                }
            }

            /// The value as a plain number.
            #[must_use]
            pub const fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = OutOfRange;

            fn try_from(value: f64) -> Result<Self, OutOfRange> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(measure: $name) -> Self {
                measure.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "number", "minimum": 0, "maximum": $max })
            }
        }
    )+};
}

measures! {
    /// A share from 0 to 1, to six decimals.
    Fraction: max 1, steps 1_000_000;
    /// Events per second, from 0 to a thousand million, to three decimals.
    Rate: max 1_000_000_000, steps 1_000;
    /// Use over capacity from 0 to 1000, to four decimals; 1 is full.
    Load: max 1_000, steps 10_000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_infinities_never_become_a_measure() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1, 1.1] {
            assert!(Fraction::new(bad).is_err(), "{bad}");
        }
        assert_eq!(Load::saturating(f64::NAN), Load::ZERO);
        assert_eq!(Load::saturating(f64::INFINITY), Load::MAX);
        assert_eq!(Rate::saturating(-5.0), Rate::ZERO);
    }

    #[test]
    fn negative_zero_is_written_as_zero() {
        assert_eq!(Fraction::new(-0.0).unwrap().to_string(), "0");
    }
}
