//! The fields of our own protocol between tiers.
//!
//! Believed from trusted peers only (`forward::is_forwarding_name` covers them). A value out of bounds
//! is treated as absent: a sister of another version must not be able to break a request.

use http::{HeaderName, HeaderValue};

/// Name of the field with the number of the attempt.
pub const ATTEMPT: HeaderName = HeaderName::from_static("x-lb-attempt");
/// Name of the field with the time left.
pub const DEADLINE: HeaderName = HeaderName::from_static("x-lb-deadline-ms");
/// Name of the field with the priority.
pub const PRIORITY: HeaderName = HeaderName::from_static("x-lb-priority");

/// Name of a response's field: the process that answers leaves, and new requests should go elsewhere. Its own are finished.
pub const DRAINING: HeaderName = HeaderName::from_static("x-lb-draining");

/// Name of a response's field: this tier answered itself, and nothing below it got any of the request. Another place may be asked, whatever the method.
pub const UNSERVED: HeaderName = HeaderName::from_static("x-lb-unserved");

/// The number of an attempt: 1 for the first try, at most [`Attempt::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(u8);

/// Time left for a request, in whole milliseconds from 0 to [`Deadline::MAX_MILLIS`]. 0: it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(u32);

/// What is shed first under overload. Ordered: the greater is shed later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Shed first.
    Sheddable,
    /// Requests that say nothing and have no place in their own region: those that are at home there go first.
    Displaced,
    /// Requests that say nothing.
    #[default]
    Default,
    /// Shed last.
    Critical,
}

// === impl Attempt ===

impl Attempt {
    /// The first try.
    pub const FIRST: Self = Self(1);
    /// The highest number; further attempts stay at it.
    pub const MAX: u8 = 99;

    /// Parses 1 to [`Attempt::MAX`], without sign or leading zeros.
    #[must_use]
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        let number = number(value.as_bytes(), Self::MAX.into())?;
        u8::try_from(number).ok().filter(|n| *n > 0).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The next attempt.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 < Self::MAX {
            Self(self.0 + 1)
        } else {
            self
        }
    }

    /// The field's value.
    #[must_use]
    pub fn to_value(self) -> HeaderValue {
        HeaderValue::from(u16::from(self.0))
    }
}

// === impl Deadline ===

impl Deadline {
    /// The longest time that is believed: one day.
    pub const MAX_MILLIS: u32 = 86_400_000;

    /// The time left, rounded down to milliseconds so that the next tier gives up before we do, and
    /// limited to [`Deadline::MAX_MILLIS`].
    #[must_use]
    pub fn new(left: std::time::Duration) -> Self {
        let millis = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
        Self(millis.min(Self::MAX_MILLIS))
    }

    /// Parses 0 to [`Deadline::MAX_MILLIS`], without sign or leading zeros.
    #[must_use]
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        number(value.as_bytes(), Self::MAX_MILLIS).map(Self)
    }

    /// The time left.
    #[must_use]
    pub const fn left(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0 as u64)
    }

    /// The field's value.
    #[must_use]
    pub fn to_value(self) -> HeaderValue {
        HeaderValue::from(self.0)
    }
}

// === impl Priority ===

impl Priority {
    /// Every priority, the lowest first.
    pub const ALL: [Self; 4] = [
        Self::Sheddable,
        Self::Displaced,
        Self::Default,
        Self::Critical,
    ];

    /// Parses `critical`, `default`, `displaced` or `sheddable`, in any case.
    #[must_use]
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|p| value.as_bytes().eq_ignore_ascii_case(p.as_str().as_bytes()))
    }

    /// The name, as in the field and in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Default => "default",
            Self::Displaced => "displaced",
            Self::Sheddable => "sheddable",
        }
    }

    /// The field's value.
    #[must_use]
    pub const fn to_value(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }
}

/// A plain decimal number of at most `max`: no sign, no blanks, no leading zeros.
fn number(digits: &[u8], max: u32) -> Option<u32> {
    if !(1..=10).contains(&digits.len()) || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    digits
        .iter()
        .try_fold(0u32, |sum, b| {
            let digit = b.checked_sub(b'0').filter(|digit| *digit <= 9)?;
            sum.checked_mul(10)?.checked_add(digit.into())
        })
        .filter(|number| *number <= max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn value(text: &str) -> HeaderValue {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        assert_eq!(Attempt::parse(&value("2")).map(Attempt::get), Some(2));
        assert_eq!(Attempt::FIRST.next().to_value(), "2");
        assert_eq!(
            Attempt::parse(&value("99")).map(Attempt::next),
            Attempt::parse(&value("99"))
        );
        for bad in [
            "0",
            "100",
            "",
            "01",
            "+1",
            "-1",
            " 1",
            "1.0",
            "x",
            "99999999999999999999",
        ] {
            assert_eq!(Attempt::parse(&value(bad)), None, "{bad}");
        }
        for (text, millis) in [("0", 0), ("15000", 15000), ("86400000", 86_400_000)] {
            let deadline = Deadline::parse(&value(text)).unwrap();
            assert_eq!(deadline.left(), Duration::from_millis(millis));
            assert_eq!(deadline.to_value(), text);
        }
        for bad in ["86400001", "4294967296", "-1", "", "1s", "00"] {
            assert_eq!(Deadline::parse(&value(bad)), None, "{bad}");
        }
        assert_eq!(Deadline::new(Duration::from_micros(1999)).to_value(), "1");
        assert_eq!(Deadline::new(Duration::MAX).to_value(), "86400000");
    }

    #[test]
    fn priorities_are_ordered_names() {
        for priority in Priority::ALL {
            assert_eq!(Priority::parse(&priority.to_value()), Some(priority));
        }
        assert_eq!(
            Priority::parse(&value("Critical")),
            Some(Priority::Critical)
        );
        assert_eq!(Priority::parse(&value("high")), None);
        assert!(
            Priority::Sheddable < Priority::default() && Priority::default() < Priority::Critical
        );
    }
}
