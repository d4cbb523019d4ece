//! The file of tokens that let writes in.
//!
//! # Choice
//! One token a line, so that a new one can be let in everywhere before the first replica shows it, and the old one be taken out after
//! the last has left it. The file is read for each write: that is rare, and there is nothing to keep in step.
//!
//! # Limits
//! Whoever reads the traffic between replicas reads the token: the admin listener is plain text, for loopback or a network that a
//! policy protects. A file that others may read is refused, as its content must be taken for known.

use sha2::{Digest, Sha256};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

/// Least length of a token.
const LEAST: usize = 16;
/// Most bytes of the file.
const MOST_BYTES: u64 = 16 << 10;
/// Bits that nobody but us may have, where the file is ours.
const OURS: u32 = 0o077;
/// The same where it is the superuser's: we read it by our group then. This is how Kubernetes gives a secret to a pod (`fsGroup`), and
/// PostgreSQL's rule for its keys.
const GIVEN: u32 = 0o037;
/// The superuser.
const ROOT: u32 = 0;

/// A file of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile(PathBuf);

/// Why a file of tokens can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It can't be read.
    #[error("admin.token_file {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error(
        "admin.token_file {path}: others than its owner may read or write it (mode {mode:03o}): run `chmod 600 {path}`, and change the tokens"
    )]
    Open {
        /// The file.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// It has no token, or one that is too short.
    #[error(
        "admin.token_file {path}: needs one token a line, of {LEAST} printable characters or more without spaces, such as `openssl rand -hex 32` makes"
    )]
    Weak {
        /// The file.
        path: String,
    },
}

// === impl TokenFile ===

impl TokenFile {
    /// The file at `path`. It is looked at when it is needed.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The token that this replica shows to its peers: the first.
    ///
    /// # Errors
    /// [`TokenError`] with the file's name and what to do.
    pub fn token(&self) -> Result<String, TokenError> {
        let first = self.read()?.into_iter().next();
        first.ok_or_else(|| self.weak())
    }

    /// Whether `shown` is one of the tokens. Takes as long for a near miss as for any other.
    ///
    /// # Errors
    /// [`TokenError`] with the file's name and what to do.
    pub fn has(&self, shown: &[u8]) -> Result<bool, TokenError> {
        let shown = Sha256::digest(shown);
        let found = self
            .read()?
            .iter()
            .fold(subtle::Choice::from(0), |found, token| {
                // Digests have one length, so that the length of a token doesn't show either.
                found | Sha256::digest(token.as_bytes()).ct_eq(&shown)
            });
        Ok(found.into())
    }

    fn read(&self) -> Result<Vec<String>, TokenError> {
        let text = self.text(&self.0).map_err(|source| TokenError::Read {
            path: self.name(),
            source,
        })?;
        let (text, owner, mode) = text;
        let me = rustix::process::geteuid().as_raw();
        if mode & forbidden(owner, me) != 0 {
            let path = self.name();
            return Err(TokenError::Open { path, mode });
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let tokens: Vec<String> = lines.map(str::to_owned).collect();
        let is_good = |token: &String| {
            token.len() >= LEAST && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if tokens.is_empty() || !tokens.iter().all(is_good) {
            return Err(self.weak());
        }
        Ok(tokens)
    }

    fn text(&self, path: &Path) -> std::io::Result<(String, u32, u32)> {
        let file = std::fs::File::open(path)?;
        let about = file.metadata()?;
        let mode = about.mode() & 0o777;
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text)?;
        Ok((text, about.uid(), mode))
    }

    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn weak(&self) -> TokenError {
        TokenError::Weak { path: self.name() }
    }
}

/// The permissions that a file of `owner` may not give, when `me` reads it.
fn forbidden(owner: u32, me: u32) -> u32 {
    if owner == ROOT && me != ROOT {
        GIVEN
    } else {
        OURS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const TOKEN: &str = "0123456789abcdef";

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, TokenFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        (dir, TokenFile::new(path))
    }

    #[test]
    fn each_line_lets_in_and_the_first_is_shown() {
        let (_dir, file) = file(&format!("{TOKEN}\n\n  {TOKEN}-old\n"), 0o600);
        assert_eq!(file.token().unwrap(), TOKEN);
        for (shown, is_in) in [
            (TOKEN, true),
            ("0123456789abcdef-old", true),
            ("0123456789abcde", false),
            ("", false),
        ] {
            assert_eq!(file.has(shown.as_bytes()).unwrap(), is_in, "{shown}");
        }
    }

    #[test]
    fn files_that_protect_nothing_are_refused_with_what_to_do() {
        for (text, mode, part) in [
            ("", 0o600, "openssl rand"),
            ("\n \n", 0o400, "openssl rand"),
            ("short", 0o600, "16 printable"),
            ("0123456789abcdef\nshort", 0o600, "16 printable"),
            (TOKEN, 0o640, "mode 640"),
            (TOKEN, 0o604, "chmod 600"),
        ] {
            let (_dir, file) = file(text, mode);
            let error = file.has(TOKEN.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let error = TokenFile::new("/nowhere".into()).token().unwrap_err();
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }

    #[test]
    fn the_group_may_read_what_the_superuser_gave_us() {
        for (mode, is_fine) in [(0o440, true), (0o640, true), (0o660, false), (0o444, false)] {
            assert_eq!(mode & forbidden(ROOT, 65532) == 0, is_fine, "{mode:o}");
        }
        for (owner, me) in [(65532, 65532), (ROOT, ROOT), (1000, 65532)] {
            assert_ne!(0o440 & forbidden(owner, me), 0, "{owner} {me}");
            assert_eq!(0o600 & forbidden(owner, me), 0, "{owner} {me}");
        }
    }

    #[test]
    fn a_new_content_counts_at_once() {
        let (dir, file) = file(TOKEN, 0o600);
        assert!(file.has(TOKEN.as_bytes()).unwrap());
        std::fs::write(dir.path().join("tokens"), "fedcba9876543210").unwrap();
        assert!(!file.has(TOKEN.as_bytes()).unwrap());
    }
}
