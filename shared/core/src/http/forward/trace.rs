//! W3C trace context: the `traceparent` field (Recommendation, level 1).
//!
//! We keep the trace's id, put ourselves in as the parent, and pass the sampling decision on. A broken
//! value is replaced as if it were absent, as the standard asks. `tracestate` is passed untouched when
//! the trace is kept, and must be dropped when a new one is started.

use super::ids::hex_digit;
use http::HeaderValue;
use rand::Rng;

/// Length of a version 00 value.
const LENGTH: usize = 55;

/// A position in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace's id, never 0.
    pub trace_id: u128,
    /// The id of the span that made the request, never 0.
    pub parent_id: u64,
    /// Whether the caller records this trace.
    pub sampled: bool,
}

// === impl Traceparent ===

impl Traceparent {
    /// Parses a value. Versions above 00 are read by their version 00 part, as the standard asks.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let known = value.get(..LENGTH)?;
        let [v1, v2, b'-', rest @ ..] = known else {
            return None;
        };
        let version = hex(&[*v1, *v2])?;
        let is_tail_fine = match value.get(LENGTH) {
            None => true,
            Some(next) => version > 0 && *next == b'-',
        };
        let (trace_id, rest) = rest.split_at_checked(32)?;
        let (parent_id, flags) = rest.strip_prefix(b"-")?.split_at_checked(16)?;
        let trace_id = hex(trace_id).filter(|id| *id != 0)?;
        let parent_id = hex(parent_id).and_then(|id| u64::try_from(id).ok())?;
        let flags = hex(flags.strip_prefix(b"-")?)?;
        (version != 0xff && is_tail_fine && parent_id != 0).then_some(Self {
            trace_id,
            parent_id,
            sampled: flags & 1 == 1,
        })
    }

    /// A new trace, for requests that came without one. Servers with a parent-based sampler follow
    /// `sampled`, so it must be the operator's choice.
    #[must_use]
    pub fn start(sampled: bool, rng: &mut impl Rng) -> Self {
        let trace_id = u128::from(non_zero(rng)) << 64 | u128::from(rng.next_u64());
        Self {
            trace_id,
            parent_id: non_zero(rng),
            sampled,
        }
    }

    /// The same trace with a new span of ours as the parent.
    #[must_use]
    pub fn child(self, rng: &mut impl Rng) -> Self {
        Self {
            parent_id: non_zero(rng),
            ..self
        }
    }

    /// What goes to the next hop: a child of the value that came, or a new trace. Tells whether the
    /// trace was kept, and so whether `tracestate` may stay.
    #[must_use]
    pub fn next_hop(
        incoming: Option<&HeaderValue>,
        sampled: bool,
        rng: &mut impl Rng,
    ) -> (Self, bool) {
        match incoming.and_then(|value| Self::parse(value.as_bytes())) {
            Some(parent) => (parent.child(rng), true),
            None => (Self::start(sampled, rng), false),
        }
    }

    /// The field's value, of version 00. One allocation.
    #[must_use]
    pub fn to_value(self) -> HeaderValue {
        let mut text = String::with_capacity(LENGTH);
        text.push_str("00-");
        text.extend((0..32).rev().map(|at| hex_digit(self.trace_id, at)));
        text.push('-');
        text.extend((0..16).rev().map(|at| hex_digit(self.parent_id.into(), at)));
        text.push_str(if self.sampled { "-01" } else { "-00" });
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Lower-case hexadecimal digits only; at most 32 of them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |sum, b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'f' => b - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u128::from(digit))
    })
}

fn non_zero(rng: &mut impl Rng) -> u64 {
    rng.next_u64().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::Counter;
    use proptest::prelude::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_valid_value_keeps_its_trace_and_gets_a_new_parent() {
        let value = HeaderValue::try_from(format!("00-{TRACE}-{SPAN}-01")).unwrap();
        let (next, is_kept) = Traceparent::next_hop(Some(&value), false, &mut Counter(0x10));
        assert_eq!(
            next.to_value(),
            format!("00-{TRACE}-0000000000000010-01").as_str()
        );
        assert!(is_kept && next.sampled);
        let (new, is_kept) = Traceparent::next_hop(None, true, &mut Counter(0));
        assert_eq!(
            new.to_value(),
            "00-00000000000000010000000000000001-0000000000000002-01"
        );
        assert!(!is_kept);
    }

    #[test]
    fn the_standards_rules_hold() {
        let zeros = "0".repeat(32);
        for good in [
            format!("00-{TRACE}-{SPAN}-00"),
            format!("00-{TRACE}-{SPAN}-ff"),
            format!("01-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01-what the future brings"),
        ] {
            assert!(Traceparent::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-x"),
            format!("00-{TRACE}-{SPAN}-010"),
            format!("01-{TRACE}-{SPAN}-01x"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-011"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00_{TRACE}_{SPAN}_01"),
            format!("00-{TRACE}-{SPAN}-0g"),
        ] {
            assert_eq!(Traceparent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(trace_id in 1u128.., parent_id in 1u64.., sampled: bool) {
            let trace = Traceparent { trace_id, parent_id, sampled };
            prop_assert_eq!(Traceparent::parse(trace.to_value().as_bytes()), Some(trace));
        }

        #[test]
        fn any_bytes_are_answered_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Traceparent::parse(&bytes);
        }
    }
}
