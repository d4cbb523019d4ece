//! Judging a response body without keeping more of it than needed.

use lb_core::health::ProbeFailure;

/// How much of a body is looked at, in bytes.
pub(super) const MAX_BODY: usize = 64 << 10;

/// Looks for a text within the first [`MAX_BODY`] bytes of a body that comes in pieces.
#[derive(Debug)]
pub(super) struct BodyWatch<'a> {
    needle: Option<&'a [u8]>,
    /// What was read, when a text is sought.
    kept: Vec<u8>,
    read: usize,
    found: bool,
}

// === impl BodyWatch ===

impl<'a> BodyWatch<'a> {
    pub(super) fn new(needle: Option<&'a str>) -> Self {
        let needle = needle.map(str::as_bytes).filter(|text| !text.is_empty());
        Self {
            needle,
            kept: Vec::new(),
            read: 0,
            found: needle.is_none(),
        }
    }

    /// Takes a piece in. True when enough was read: the text is found, or its place has passed.
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        let room = MAX_BODY - self.read;
        let piece = piece.get(..room).unwrap_or(piece);
        self.read += piece.len();
        if let Some(needle) = self.needle.filter(|_| !self.found) {
            // A match may begin in the pieces before, at most one byte short of the whole text.
            let from = self.kept.len().saturating_sub(needle.len() - 1);
            self.kept.extend_from_slice(piece);
            let tail = self.kept.get(from..).unwrap_or_default();
            self.found = tail.windows(needle.len()).any(|window| window == needle);
            if self.found {
                return true;
            }
        }
        self.read >= MAX_BODY
    }

    /// The judgement, when no more is read.
    pub(super) fn verdict(&self) -> Result<(), ProbeFailure> {
        if self.found {
            Ok(())
        } else {
            Err(ProbeFailure::BodyMismatch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_across_pieces() {
        let mut watch = BodyWatch::new(Some("all well"));
        assert!(!watch.push(b"is a"));
        assert!(!watch.push(b"l"));
        assert!(watch.verdict().is_err());
        assert!(watch.push(b"l well, thanks"));
        assert!(watch.verdict().is_ok());
    }

    #[test]
    fn text_beyond_the_limit_does_not_count_and_memory_is_bounded() {
        let mut watch = BodyWatch::new(Some("ok"));
        assert!(!watch.push(&[b'x'; MAX_BODY - 1]));
        assert!(watch.push(b"ok"), "the second letter is beyond the limit");
        assert!(watch.verdict().is_err());
        assert!(watch.push(&[b'k'; 1000]));
        assert_eq!(watch.kept.len(), MAX_BODY);
    }

    #[test]
    fn without_a_text_nothing_is_kept() {
        let mut watch = BodyWatch::new(None);
        assert!(!watch.push(&[0; 1000]));
        assert!(watch.kept.is_empty() && watch.verdict().is_ok());
        assert!(watch.push(&[0; MAX_BODY]));
    }
}
