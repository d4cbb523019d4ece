//! The token that allows changes.

use crate::failure::{Exit, Failure};
use std::fmt;
use std::path::Path;

/// A secret: never shown.
#[derive(Clone)]
pub(crate) struct Token(String);

// === impl Token ===

impl Token {
    /// Reads the first line of `file`.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let message = format!("can't read the token file {}: {error}", file.display());
            Failure::new(Exit::Failed, message).hint("--token-file or LB_TOKEN_FILE names it")
        })?;
        Self::of(&text, &file.display().to_string())
    }

    /// The first line of `text`, which `place` holds.
    pub(crate) fn of(text: &str, place: &str) -> Result<Self, Failure> {
        let token = text.lines().next().unwrap_or_default().trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = format!("{place} holds no token in its first line");
            return Err(Failure::new(Exit::Failed, message)
                .hint("a token is a line of letters, digits and signs, without spaces"));
        }
        Ok(Self(token.to_owned()))
    }

    /// As the value of `Authorization`.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
