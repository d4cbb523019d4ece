//! What stands in the file: a line with format and checksum, then the orders as JSON that people can read.

use lb_core::drain::Snapshot;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Format of the file; that of the orders is their own.
const FORMAT: u32 = 1;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Content {
    /// When its writer was last alive, in milliseconds since 1970.
    pub(crate) alive_ms: u64,
    /// The orders.
    pub(crate) snapshot: Snapshot,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    strata_orders: u32,
    bytes: usize,
    sha256: String,
}

/// Why a text is no file of orders.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bad {
    /// It ends too soon, or doesn't begin like one.
    #[error("{0}")]
    Torn(&'static str),
    /// Its content is not what was written.
    #[error("its checksum is wrong")]
    Changed,
    /// A later version wrote it.
    #[error("it is in format {0}")]
    Later(u32),
}

/// The text of a file.
pub(super) fn render(snapshot: &Snapshot, alive_ms: u64) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        alive_ms: u64,
        snapshot: &'a Snapshot,
    }
    let body = Body { alive_ms, snapshot };
    let body = serde_json::to_string_pretty(&body).unwrap_or_default();
    let header = Header {
        strata_orders: FORMAT,
        bytes: body.len(),
        sha256: checksum(body.as_bytes()),
    };
    let header = serde_json::to_string(&header).unwrap_or_default();
    format!("{header}\n{body}")
}

/// Reads a file's bytes.
///
/// # Errors
/// [`Bad`] when they are not what was once written.
pub(super) fn parse(bytes: &[u8]) -> Result<Content, Bad> {
    let cut = bytes.iter().position(|byte| *byte == b'\n');
    let cut = cut.ok_or(Bad::Torn("it has no header"))?;
    let (header, body) = bytes.split_at(cut);
    let body = body.get(1..).unwrap_or_default();
    let header: Header =
        serde_json::from_slice(header).map_err(|_syntax| Bad::Torn("its header can't be read"))?;
    if header.strata_orders > FORMAT {
        return Err(Bad::Later(header.strata_orders));
    }
    if body.len() < header.bytes {
        return Err(Bad::Torn("it ends too soon"));
    }
    if checksum(body) != header.sha256 {
        return Err(Bad::Changed);
    }
    #[derive(Deserialize)]
    struct Format {
        snapshot: Version,
    }
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let told: Result<Format, _> = serde_json::from_slice(body);
    if let Ok(told) = told
        && told.snapshot.format > Snapshot::FORMAT
    {
        return Err(Bad::Later(told.snapshot.format));
    }
    serde_json::from_slice(body).map_err(|_syntax| Bad::Torn("its orders can't be read"))
}

fn checksum(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
