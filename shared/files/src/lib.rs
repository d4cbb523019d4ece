//! Reads the files that a configuration is in.
//!
//! The tiers' programs and `lbctl config check` read the same files in the same way, so that what is valid for the one serves at the
//! other. What the texts mean is [`lb_core::config`]'s affair; this crate opens files, and nothing else: it needs neither a runtime nor
//! Pingora, which a command line tool should not carry.
//!
//! An `include` without wildcards names a file that must be there. A pattern may match nothing. Its matches are taken in the order of
//! their paths; names that begin with a dot are not matched, such as those that editors and Kubernetes' volumes keep for themselves
//! (`..data`).

use glob::{MatchOptions, Pattern, glob_with};
use lb_core::config::read::{Faults, Layers, Text, utf8};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that are read of a file, more than the largest that is accepted: a file that grew without bounds is
/// refused for its size before it fills the memory.
const MAX_READ: u64 = 17 << 20;

/// Most files that are included.
const MAX_FILES: usize = 1000;

/// As a shell's, but for its classes of characters by locale.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Why the files of a configuration can't be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file can't be opened or read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is included can't be told.
    #[error("{}: include {pattern:?}: {reason}", path.display())]
    Include {
        /// The file that says it.
        path: PathBuf,
        /// What it says.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file holds no text.
    #[error("{0}")]
    Text(Faults),
}

/// Reads `main` and the files that it includes. Variables of the environment are not among the layers.
///
/// # Errors
/// [`FileError`] of the first file that can't be read.
pub fn read(main: &Path) -> Result<Layers, FileError> {
    let Text { name, text } = open(main)?;
    let mut layers = Layers::one(&name, &text);
    for pattern in layers.patterns() {
        for file in matches(main, &pattern)? {
            if layers.included.len() == MAX_FILES {
                let reason = format!("more than {MAX_FILES} files are included");
                return Err(include(main, pattern, reason));
            }
            layers.included.push(open(&file)?);
        }
    }
    Ok(layers)
}

/// [`read`], with the variables of this process's environment.
///
/// # Errors
/// As [`read`].
pub fn read_with_environment(main: &Path) -> Result<Layers, FileError> {
    let variables = std::env::vars_os();
    let texts = variables.filter_map(|(name, text)| {
        Some((
            name.into_string().ok()?,
            text.to_string_lossy().into_owned(),
        ))
    });
    Ok(read(main)?.with_variables(texts))
}

/// The files that `pattern`, in `main`, stands for.
fn matches(main: &Path, pattern: &str) -> Result<Vec<PathBuf>, FileError> {
    let directory = main.parent().unwrap_or(Path::new(""));
    let has_wildcards = pattern.contains(['*', '?', '[']);
    if !has_wildcards {
        return Ok(vec![directory.join(pattern)]);
    }
    // The directory's own name may hold what looks like a wildcard.
    let directory = directory.to_string_lossy();
    let whole = match Path::new(pattern).is_absolute() || directory.is_empty() {
        true => pattern.to_owned(),
        false => format!("{}/{pattern}", Pattern::escape(&directory)),
    };
    let found = glob_with(&whole, OPTIONS)
        .map_err(|error| include(main, pattern.to_owned(), error.to_string()))?;
    let mut files = Vec::new();
    for file in found {
        let file = file.map_err(|error| FileError::Read {
            path: error.path().to_owned(),
            source: error.into(),
        })?;
        if !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn open(path: &Path) -> Result<Text, FileError> {
    let bytes = content(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let name = path.display().to_string();
    let text = utf8(&name, &bytes).map_err(FileError::Text)?.to_owned();
    Ok(Text { name, text })
}

fn content(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(MAX_READ)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn include(path: &Path, pattern: String, reason: String) -> FileError {
    FileError::Include {
        path: path.to_owned(),
        pattern,
        reason,
    }
}

#[cfg(test)]
mod tests;
