//! The cookie that keeps a user on a server or in a region: reading it, and writing a new one.
//!
//! What a cookie may say and how it is signed is core's `affinity`. Here are the secrets' file, the cookie's attributes, and
//! the count of what came of it. A user whose server or region is gone, or whose cookie is bad, is sent anywhere and gets
//! a new cookie; nothing is ever refused for a cookie.
//!
//! A cookie of a pool is of that pool alone. Those of regions are of the tier: all routes lead to the same regions, so one cookie may
//! keep a user in one region on all of them.

use crate::clock;
use crate::metrics::Families;
use http::{HeaderMap, HeaderValue, header};
use lb_core::affinity::{Affinity, Bad};
use lb_core::config::model;
use prometheus::IntCounter;
use std::path::Path;
use std::time::Duration;

/// The scope of cookies that name regions. No pool can have this name.
const REGIONS: &str = "the regions";

/// The cookie of a pool, or of a route over regions.
#[derive(Debug)]
pub struct Sticky {
    /// Its name.
    pub cookie: String,
    ttl: Duration,
    signer: Affinity,
    /// Users that stayed.
    pub kept: IntCounter,
    /// Users that came without a cookie.
    pub fresh: IntCounter,
    /// Users whose cookie was none of ours, or had ended.
    pub bad: IntCounter,
    /// Users whose server or region was gone.
    pub moved: IntCounter,
}

// === impl Sticky ===

impl Sticky {
    /// Reads the secrets; their file lies in `base`'s directory.
    ///
    /// # Errors
    /// A reason, when the file can't be read, holds no secret, or one that is too short.
    pub fn new(
        config: &model::Affinity,
        pool: &str,
        base: &Path,
        families: &Families,
    ) -> Result<Self, String> {
        let secrets = base.join(&config.secret_file);
        Self::of(
            &config.cookie,
            config.ttl.get(),
            &secrets,
            (pool, pool),
            families,
        )
    }

    /// The same for a route over regions.
    ///
    /// # Errors
    /// As [`Sticky::new`].
    pub fn for_regions(
        config: &model::RegionAffinity,
        base: &Path,
        families: &Families,
    ) -> Result<Self, String> {
        let secrets = base.join(&config.secret_file);
        let scope = (REGIONS, "regions");
        Self::of(&config.cookie, config.ttl.get(), &secrets, scope, families)
    }

    fn of(
        cookie: &str,
        ttl: Duration,
        path: &Path,
        (scope, label): (&str, &str),
        families: &Families,
    ) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("affinity.secret_file {}: {error}", path.display()))?;
        let secrets: Vec<&[u8]> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::as_bytes)
            .collect();
        let signer = Affinity::new(scope, &secrets).ok_or_else(|| {
            format!(
                "affinity.secret_file {}: needs one secret a line, of 16 characters or more",
                path.display()
            )
        })?;
        let count = |result: &str| families.affinity.with_label_values(&[label, result]);
        Ok(Self {
            cookie: cookie.to_owned(),
            ttl,
            signer,
            kept: count("kept"),
            fresh: count("new"),
            bad: count("bad"),
            moved: count("moved"),
        })
    }

    /// The server or region that a cookie's value names.
    ///
    /// # Errors
    /// Why the cookie is ignored.
    pub fn target<'v>(&self, value: &'v str) -> Result<&'v str, Bad> {
        self.signer.verify(value, clock::unix_millis() / 1000)
    }

    /// The `Set-Cookie` field that keeps its user on `target`.
    #[must_use]
    pub fn set(&self, target: &str, secure: bool) -> Option<HeaderValue> {
        let age = self.ttl.as_secs();
        let value = self
            .signer
            .encode(target, clock::unix_millis() / 1000 + age);
        let secure = if secure { "; Secure" } else { "" };
        let name = &self.cookie;
        let field =
            format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(field).ok()
    }
}

/// The value of the cookie `name`.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}
