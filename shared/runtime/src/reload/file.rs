//! A configuration file: read within bounds, checked, and what is wrong with it.

use crate::tier::TierProgram;
use lb_core::config::change::content_hash;
use lb_core::config::read::{Faults, utf8};
use lb_core::status::ConfigFault;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that are read of a file, more than the largest that is accepted: a file that grew without bounds is
/// refused for its size before it fills the memory.
const MAX_READ: u64 = 17 << 20;

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its content is at fault.
    #[error("{0}")]
    Faults(Faults),
    /// What it names can't be used.
    #[error("{0}")]
    Build(String),
}

/// Reads and checks a file.
///
/// # Errors
/// [`LoadError`] with every fault.
pub(crate) fn load<T: TierProgram>(path: &Path) -> Result<(T::Config, String), LoadError> {
    let bytes = content(path).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse::<T>(path, &bytes)
}

/// Checks a file's content.
///
/// # Errors
/// [`LoadError`] with every fault.
pub(super) fn parse<T: TierProgram>(
    path: &Path,
    bytes: &[u8],
) -> Result<(T::Config, String), LoadError> {
    let name = path.display().to_string();
    let text = utf8(&name, bytes).map_err(LoadError::Faults)?;
    let config = T::load(&name, text).map_err(LoadError::Faults)?;
    Ok((config, content_hash(&[text])))
}

/// The content of a file, up to [`MAX_READ`].
pub(super) fn content(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(MAX_READ)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the status tells of an error.
pub(super) fn faults(path: &Path, error: &LoadError) -> Vec<ConfigFault> {
    match error {
        LoadError::Faults(faults) => faults
            .iter()
            .map(|fault| ConfigFault {
                file: fault.file.to_string(),
                line: u32::try_from(fault.line).unwrap_or(u32::MAX),
                column: u32::try_from(fault.column).unwrap_or(u32::MAX),
                reason: fault.reason.clone(),
                hint: fault.hint.clone(),
            })
            .collect(),
        other => vec![ConfigFault {
            file: path.display().to_string(),
            line: 0,
            column: 0,
            reason: other.to_string(),
            hint: None,
        }],
    }
}
