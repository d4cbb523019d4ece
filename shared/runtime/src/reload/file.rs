//! A configuration's files: read, checked, and what is wrong with them.

use crate::tier::TierProgram;
use lb_core::config::change::content_hash;
use lb_core::config::read::{Faults, Layers};
use lb_core::status::ConfigFault;
use lb_files::FileError;
use std::path::Path;

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// A file of it can't be read.
    #[error("{0}")]
    Read(FileError),
    /// Its content is at fault.
    #[error("{0}")]
    Faults(Faults),
    /// What it names can't be used.
    #[error("{0}")]
    Build(String),
}

/// Reads and checks a configuration.
///
/// # Errors
/// [`LoadError`] with every fault.
pub(crate) fn load<T: TierProgram>(path: &Path) -> Result<(T::Config, String), LoadError> {
    let layers = lb_files::read_with_environment(path)?;
    parse::<T>(&layers)
}

/// Checks what was read.
///
/// # Errors
/// [`LoadError`] with every fault.
pub(super) fn parse<T: TierProgram>(layers: &Layers) -> Result<(T::Config, String), LoadError> {
    let config = T::load(layers).map_err(LoadError::Faults)?;
    Ok((config, hash(layers)))
}

/// Stands for what operators wrote: the same at each replica that has the same files.
pub(super) fn hash(layers: &Layers) -> String {
    let texts: Vec<&str> = layers.texts().collect();
    content_hash(&texts)
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

// === impl LoadError ===

impl From<FileError> for LoadError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Text(faults) => Self::Faults(faults),
            other => Self::Read(other),
        }
    }
}
