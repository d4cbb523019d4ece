//! `Via`: who handled a request before us, and whether we did (RFC 9110 §7.6.3).
//!
//! A route that leads back to its own tier would circle until its deadline, multiplying load. Two nets
//! catch it: our own pseudonym in `Via`, and a cap on hops for circles through others who strip names.

use crate::name::ReplicaName;
use http::{HeaderValue, Version};

/// Entries of `Via` beyond which a request is refused: two tiers, an edge and some proxies of others.
pub const MAX_HOPS: usize = 10;

/// Our name in `Via`: `strata-<tier>-<replica>`, with its values made once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pseudonym {
    name: Box<str>,
    http10: HeaderValue,
    http11: HeaderValue,
    h2: HeaderValue,
}

/// What `Via` tells about the way of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As many hops before us, none of which is us.
    Clear(usize),
    /// We have handled it before: answer 508.
    Loop,
    /// More than [`MAX_HOPS`] hops: answer 508.
    TooLong,
}

// === impl Pseudonym ===

impl Pseudonym {
    /// The pseudonym of a replica of a tier (`global`, `regional`).
    ///
    /// # Errors
    /// When the tier's name can't stand in a field's value.
    pub fn new(tier: &str, replica: &ReplicaName) -> Result<Self, http::Error> {
        let name = format!("strata-{tier}-{replica}");
        let value = |version: &str| HeaderValue::try_from(format!("{version} {name}"));
        Ok(Self {
            http10: value("1.0")?,
            http11: value("1.1")?,
            h2: value("2")?,
            name: name.into(),
        })
    }

    /// The name alone.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value to add to `Via` of a message that came in this version.
    #[must_use]
    pub fn value(&self, version: Version) -> &HeaderValue {
        match version {
            Version::HTTP_09 | Version::HTTP_10 => &self.http10,
            Version::HTTP_11 => &self.http11,
            _ => &self.h2,
        }
    }

    /// Reads all values of `Via`. Names are compared without regard to case. Does not allocate.
    #[must_use]
    pub fn check<'a>(&self, via: impl Iterator<Item = &'a HeaderValue>) -> Way {
        let mut hops = 0;
        for entry in via.flat_map(|value| Entries(value.as_bytes())) {
            let mut words = entry
                .split(|b| matches!(b, b' ' | b'\t'))
                .filter(|w| !w.is_empty());
            if words.next().is_none() {
                continue;
            }
            let by = words.next().unwrap_or_default();
            if by.eq_ignore_ascii_case(self.name.as_bytes()) {
                return Way::Loop;
            }
            hops += 1;
        }
        if hops > MAX_HOPS {
            Way::TooLong
        } else {
            Way::Clear(hops)
        }
    }
}

/// The entries of one value: split at commas outside of comments.
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let mut depth = 0usize;
        let end = self.0.iter().position(|b| {
            match b {
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            *b == b',' && depth == 0
        });
        let (entry, rest) = match end {
            Some(end) => self.0.split_at_checked(end)?,
            None => (self.0, &[][..]),
        };
        self.0 = rest.get(1..).unwrap_or_default();
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[&str]) -> Way {
        let own = Pseudonym::new("global", &ReplicaName::new("g1").unwrap()).unwrap();
        let values: Vec<HeaderValue> = fields.iter().map(|f| f.parse().unwrap()).collect();
        own.check(values.iter())
    }

    #[test]
    fn our_own_name_is_a_loop() {
        assert_eq!(check(&[]), Way::Clear(0));
        assert_eq!(check(&["1.1 strata-global-g2, 2 x"]), Way::Clear(2));
        assert_eq!(check(&["1.1 strata-global-g10"]), Way::Clear(1));
        assert_eq!(
            check(&["1.1 x (strata-global-g1, 1.1 strata-global-g1)"]),
            Way::Clear(1)
        );
        for fields in [
            &["1.1 strata-global-g1"][..],
            &["1.0 a", "HTTP/1.1  STRATA-global-g1 (Strata)"],
            &["1.1 a (x, y),\t2 strata-global-g1,1.1 b"],
        ] {
            assert_eq!(check(fields), Way::Loop, "{fields:?}");
        }
    }

    #[test]
    fn too_many_hops_are_refused() {
        assert_eq!(
            check(&[&["1.1 a"; MAX_HOPS].join(",")]),
            Way::Clear(MAX_HOPS)
        );
        assert_eq!(check(&[&["1.1 a"; MAX_HOPS + 1].join(",")]), Way::TooLong);
        assert_eq!(check(&[",,, ,"]), Way::Clear(0));
    }

    #[test]
    fn values_name_the_version_of_the_message() {
        let own = Pseudonym::new("regional", &ReplicaName::new("r.1").unwrap()).unwrap();
        assert_eq!(own.value(Version::HTTP_11), "1.1 strata-regional-r.1");
        assert_eq!(own.value(Version::HTTP_10), "1.0 strata-regional-r.1");
        assert_eq!(own.value(Version::HTTP_2), "2 strata-regional-r.1");
        assert_eq!(
            own.check([own.value(Version::HTTP_2)].into_iter()),
            Way::Loop
        );
        assert!(Pseudonym::new("a\nb", &ReplicaName::new("r").unwrap()).is_err());
    }
}
