//! Trusted peers and the client's address.
//!
//! The client is the rightmost address that no trusted proxy stands behind (nginx's
//! `real_ip_recursive`, Envoy's trusted CIDRs): everything left of the first untrusted hop was written
//! by that hop or before it, and can say anything. Counting a fixed number of hops instead was
//! rejected: it is wrong as soon as one path through the platform is shorter than another.

use crate::config::model::Cidr;
use http::HeaderValue;
use std::fmt::Write;
use std::net::IpAddr;

/// Hops of `X-Forwarded-For` that are looked at, from the right. Longer chains are not believed.
pub const MAX_FORWARDED: usize = 32;

/// Names that only trusted peers may send, with `-` and `_` alike: an ending `-` stands for any rest.
///
/// CGI-like servers can't tell `X_Forwarded_For` from `X-Forwarded-For`, so both go.
const FORWARDING: [&str; 4] = ["x-forwarded-", "x-lb-", "forwarded", "x-real-ip"];

/// Address ranges whose peers are believed. Look-up is logarithmic and does not allocate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// First and last address of each range, sorted and disjoint.
    ranges: Box<[(Key, Key)]>,
}

/// Family (whether IPv6) and bits: ranges of one family never hold addresses of the other.
type Key = (bool, u128);

// === impl Trust ===

impl Trust {
    /// Trust in these ranges. An IPv4 range also holds its IPv4-mapped IPv6 addresses, which is how
    /// a dual-stack socket shows IPv4 peers.
    #[must_use]
    pub fn new(ranges: &[Cidr]) -> Self {
        let mut all: Vec<(Key, Key)> = ranges
            .iter()
            .map(|range| (key(range.0.network()), key(range.0.broadcast())))
            .collect();
        all.sort_unstable();
        let mut merged: Vec<(Key, Key)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match merged.last_mut() {
                Some((_, end)) if first <= *end => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Self {
            ranges: merged.into(),
        }
    }

    /// Whether the peer at this address is believed.
    #[must_use]
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        let address = key(address);
        let after = self.ranges.partition_point(|(first, _)| *first <= address);
        after
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|(_, last)| address <= *last)
    }
}

/// The client's address: the rightmost hop of `forwarded_for` that is not trusted, when `peer` is.
///
/// With nothing but trusted hops it is the leftmost of them; with a hop that is no address, or more
/// than [`MAX_FORWARDED`] trusted ones, it is `peer`. Hops may carry a port. Does not allocate.
#[must_use]
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a HeaderValue>,
    trust: &Trust,
) -> IpAddr {
    let peer = peer.to_canonical();
    if !trust.is_trusted(peer) {
        return peer;
    }
    let mut client = peer;
    let hops = forwarded_for
        .rev()
        .flat_map(|value| value.as_bytes().rsplit(|b| *b == b','));
    for (count, hop) in hops.enumerate() {
        let Some(address) = parse_hop(hop).filter(|_| count < MAX_FORWARDED) else {
            return peer;
        };
        client = address;
        if !trust.is_trusted(address) {
            break;
        }
    }
    client
}

/// Whether a field says who forwarded what, and so may come from trusted peers only.
///
/// `Via` is no such field: it can only lead to a refusal, so there is nothing to gain by writing it.
#[must_use]
pub fn is_forwarding_name(name: &str) -> bool {
    FORWARDING.iter().any(|known| {
        let is_prefix = known.ends_with('-');
        (name.len() == known.len() || is_prefix && name.len() > known.len())
            && name
                .bytes()
                .zip(known.bytes())
                .all(|(b, want)| b.eq_ignore_ascii_case(&want) || (b == b'_' && want == b'-'))
    })
}

/// The value of `X-Forwarded-For` for the next hop: what was there, then `peer`.
#[must_use]
pub fn append_forwarded_for<'a>(
    existing: impl Iterator<Item = &'a HeaderValue>,
    peer: IpAddr,
) -> HeaderValue {
    // An IPv6 address takes 45 characters at most; a chain of IPv4 addresses mostly fits.
    let mut joined = String::with_capacity(48);
    let texts = existing
        .filter_map(|value| value.to_str().ok())
        .map(str::trim);
    for text in texts.filter(|text| !text.is_empty()) {
        joined.push_str(text);
        joined.push_str(", ");
    }
    // Writing to a String can't fail, and addresses and visible text are valid values.
    let _ = write!(joined, "{}", peer.to_canonical());
    HeaderValue::try_from(joined).unwrap_or(HeaderValue::from_static("unknown"))
}

fn key(address: IpAddr) -> Key {
    match address.to_canonical() {
        IpAddr::V4(v4) => (false, v4.to_bits().into()),
        IpAddr::V6(v6) => (true, v6.to_bits()),
    }
}

/// Parses `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]` or `[::1]:5`.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    // The longest form is a bracketed mapped address with a port: 53 bytes.
    let text = std::str::from_utf8(hop.trim_ascii())
        .ok()
        .filter(|text| text.len() <= 53)?;
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, tail) = rest.split_once(']')?;
            let is_tail = tail.is_empty() || tail.strip_prefix(':').is_some_and(is_port);
            IpAddr::V6(inner.parse().ok().filter(|_| is_tail)?)
        }
        None => match text.split_once(':') {
            Some((v4, port)) if is_port(port) && v4.contains('.') => IpAddr::V4(v4.parse().ok()?),
            _ => text.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trust_of(ranges: &[&str]) -> Trust {
        Trust::new(
            &ranges
                .iter()
                .map(|r| Cidr::parse(r).unwrap())
                .collect::<Vec<_>>(),
        )
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn values(texts: &[&str]) -> Vec<HeaderValue> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn ranges_hold_their_edges_and_mapped_addresses() {
        let trust = trust_of(&["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "2001:db8::/32"]);
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.7",
            "::ffff:10.2.3.4",
            "2001:db8:ffff::1",
        ] {
            assert!(trust.is_trusted(ip(inside)), "{inside}");
        }
        for outside in [
            "9.255.255.255",
            "11.0.0.0",
            "192.0.2.6",
            "192.0.2.8",
            "::10.0.0.1",
            "2001:db9::",
        ] {
            assert!(!trust.is_trusted(ip(outside)), "{outside}");
        }
        assert!(
            !trust_of(&["::/0"]).is_trusted(ip("192.0.2.1")),
            "families stay apart"
        );
        assert!(trust_of(&["::ffff:10.0.0.0/104"]).is_trusted(ip("10.9.9.9")));
        assert!(!Trust::default().is_trusted(ip("127.0.0.1")));
    }

    #[test]
    fn the_client_is_the_rightmost_untrusted_hop() {
        let trust = trust_of(&["10.0.0.0/8", "fd00::/8"]);
        let client = |peer: &str, fields: &[&str]| {
            client_address(ip(peer), values(fields).iter(), &trust).to_string()
        };
        for (peer, fields, want) in [
            ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            (
                "10.0.0.1",
                &["6.6.6.6, 203.0.113.9, 10.0.0.2"],
                "203.0.113.9",
            ),
            (
                "10.0.0.1",
                &["6.6.6.6", "203.0.113.9:4711", "10.0.0.2 , fd00::1"],
                "203.0.113.9",
            ),
            ("10.0.0.1", &["junk, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9, junk"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9,"], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]x"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9:x"], "10.0.0.1"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, fields), want, "{peer} {fields:?}");
        }
        let long = ["10.0.0.2"; MAX_FORWARDED + 1].join(",");
        assert_eq!(client("10.0.0.1", &[&long]), "10.0.0.1");
    }

    #[test]
    fn forwarding_names_are_known_in_every_spelling() {
        for name in [
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "forwarded",
            "x-real-ip",
            "x-lb-attempt",
            "X_Forwarded_For",
            "x_lb_priority",
            "x-lb-",
            "X-Real_IP",
        ] {
            assert!(is_forwarding_name(name), "{name}");
        }
        for name in [
            "x-forward",
            "x-lb",
            "forwarded-for",
            "x-real-ip-x",
            "via",
            "x-request-id",
            "",
            "host",
        ] {
            assert!(!is_forwarding_name(name), "{name}");
        }
    }

    #[test]
    fn the_peer_is_appended() {
        let append = |fields: &[&str], peer| append_forwarded_for(values(fields).iter(), ip(peer));
        assert_eq!(append(&[], "192.0.2.1"), "192.0.2.1");
        assert_eq!(
            append(&["a, b", "", "c"], "::ffff:192.0.2.1"),
            "a, b, c, 192.0.2.1"
        );
        assert_eq!(append(&["é"], "2001:db8::1"), "2001:db8::1");
    }

    proptest! {
        #[test]
        fn look_up_agrees_with_each_range(
            nets in proptest::collection::vec((any::<u32>(), 0u8..=32), 0..12), address: u32,
        ) {
            let nets: Vec<Cidr> = nets.iter().map(|(bits, len)| {
                Cidr::parse(&format!("{}/{len}", std::net::Ipv4Addr::from(*bits))).unwrap()
            }).collect();
            let address = IpAddr::from(std::net::Ipv4Addr::from(address));
            let want = nets.iter().any(|net| net.0.contains(&address));
            prop_assert_eq!(Trust::new(&nets).is_trusted(address), want);
        }

        #[test]
        fn hostile_chains_never_panic(text in "[ -~é]{0,80}") {
            let trust = trust_of(&["0.0.0.0/0", "::/0"]);
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            let _ = client_address(ip("10.0.0.1"), [&value].into_iter(), &trust);
        }
    }
}
