//! The cookie that keeps a user on a server: reading it, and writing a new one.
//!
//! What a cookie may say and how it is signed is core's `affinity`. Here are the secrets' file, the cookie's attributes, and
//! the count of what came of it. A user whose server is gone, or whose cookie is bad, is sent anywhere and gets
//! a new cookie; nothing is ever refused for a cookie.

use crate::clock;
use crate::metrics::Families;
use http::HeaderValue;
use lb_core::affinity::Affinity;
use lb_core::config::model;
use prometheus::IntCounter;
use std::path::Path;
use std::time::Duration;

/// A pool's cookie.
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
    /// Users whose server was gone.
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
        let path = base.join(&config.secret_file);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("affinity.secret_file {}: {error}", path.display()))?;
        let secrets: Vec<&[u8]> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::as_bytes)
            .collect();
        let signer = Affinity::new(pool, &secrets).ok_or_else(|| {
            format!(
                "affinity.secret_file {}: needs one secret a line, of 16 characters or more",
                path.display()
            )
        })?;
        let count = |result: &str| families.affinity.with_label_values(&[pool, result]);
        Ok(Self {
            cookie: config.cookie.clone(),
            ttl: config.ttl.get(),
            signer,
            kept: count("kept"),
            fresh: count("new"),
            bad: count("bad"),
            moved: count("moved"),
        })
    }

    /// The server that a cookie's value names, when it may.
    #[must_use]
    pub fn server<'v>(&self, value: &'v str) -> Option<&'v str> {
        self.signer.verify(value, clock::unix_millis() / 1000).ok()
    }

    /// The `Set-Cookie` field that keeps its user on `server`.
    #[must_use]
    pub fn set(&self, server: &str, secure: bool) -> Option<HeaderValue> {
        let age = self.ttl.as_secs();
        let value = self
            .signer
            .encode(server, clock::unix_millis() / 1000 + age);
        let secure = if secure { "; Secure" } else { "" };
        let name = &self.cookie;
        let field =
            format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(field).ok()
    }
}
