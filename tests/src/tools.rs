//! Finding programs: third parties' tools, a Python with pinned packages, and our own binaries.
//!
//! A missing tool is an error that names the package to install. A test that skips itself where a tool is missing
//! passes without testing anything, and nobody notices.
//!
//! Our binaries are found beside the running test (`target/PROFILE`), or in `STRATA_BIN_DIR`. Cargo does not build other
//! packages' binaries for a test, so a forgotten build would test yesterday's program: a binary older than a source
//! it was made from is an error too, unless `STRATA_BIN_DIR` says which one to use.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};

use crate::process::Launch;

const PIP_TRIES: u32 = 3;

/// A third party's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// HTTP client.
    Curl,
    /// nghttp2's HTTP/2 client.
    Nghttp,
    /// nghttp2's load generator.
    H2load,
    /// Server and proxy.
    Nginx,
    /// Proxy.
    Haproxy,
    /// Interpreter with the `venv` module; see [`python`] for one with packages.
    Python,
    /// Certificates and raw TLS.
    Openssl,
    /// Key-value store.
    Etcd,
}

/// Where a program lies, searched in `PATH` and the system's `sbin` directories.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// A Python interpreter with the packages of `peers/requirements.txt`, made once under `target/tools`.
///
/// # Errors
///
/// When there is no Python, or pip fails; the message holds pip's output.
pub async fn python() -> Result<PathBuf> {
    let wanted = std::fs::read_to_string(peer_file("requirements.txt"))?;
    let tools = target_dir()?.join("tools");
    std::fs::create_dir_all(&tools)?;
    let lock = File::create(tools.join("python.lock"))?;
    // Other test processes may want it at the same time; the lock ends with this file's handle.
    let _lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    let venv = tools.join("python");
    let made = venv.join("made-from.txt");
    let python = venv.join("bin/python");
    if std::fs::read_to_string(&made).is_ok_and(|made| made == wanted) {
        return Ok(python);
    }
    make_venv(&venv, &python).await?;
    std::fs::write(&made, wanted)?;
    Ok(python)
}

/// A file of `tests/peers`.
pub fn peer_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

/// One of our own binaries.
///
/// # Errors
///
/// When it was not built, or is older than its sources.
pub fn program(name: &str) -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("STRATA_BIN_DIR") {
        let file = Path::new(&dir).join(name);
        ensure!(
            file.is_file(),
            "STRATA_BIN_DIR has no {name}: {}",
            file.display()
        );
        return Ok(file);
    }
    let file = profile_dir()?.join(name);
    let remedy = format!("run `cargo build -p {name}` (with the profile of this test)");
    ensure!(file.is_file(), "{} is missing: {remedy}", file.display());
    if let Some(source) = newer_source(&file)? {
        bail!("{} is older than {source}: {remedy}", file.display());
    }
    Ok(file)
}

/// The `target` directory of the running test.
///
/// # Errors
///
/// When the test was not started from one.
pub fn target_dir() -> Result<PathBuf> {
    let profile = profile_dir()?;
    Ok(profile
        .parent()
        .context("no target directory")?
        .to_path_buf())
}

// === impl Tool ===

impl Tool {
    /// Path of the program.
    ///
    /// # Errors
    ///
    /// When it is not installed; names the Debian package.
    pub fn path(self) -> Result<PathBuf> {
        let (name, package) = match self {
            Self::Curl => ("curl", "curl"),
            Self::Nghttp => ("nghttp", "nghttp2-client"),
            Self::H2load => ("h2load", "nghttp2-client"),
            Self::Nginx => ("nginx", "nginx-light"),
            Self::Haproxy => ("haproxy", "haproxy"),
            Self::Python => ("python3", "python3-venv"),
            Self::Openssl => ("openssl", "openssl"),
            Self::Etcd => ("etcd", "etcd-server"),
        };
        find(name).with_context(|| format!("{name} not found; `apt-get install {package}`"))
    }

    /// A launch of the program.
    ///
    /// # Errors
    ///
    /// As [`Tool::path`].
    pub fn launch(self) -> Result<Launch> {
        let path = self.path()?;
        let name = path
            .file_name()
            .context("no file name")?
            .to_string_lossy()
            .into_owned();
        Ok(Launch::new(name, path))
    }
}

async fn make_venv(venv: &Path, python: &Path) -> Result<()> {
    if venv.exists() {
        std::fs::remove_dir_all(venv)?;
    }
    let limit = Duration::from_secs(180);
    let make = Tool::Python.launch()?.args(["-m", "venv"]).arg(venv);
    make.run_ok(limit)
        .await
        .context("making a venv (Debian: apt-get install python3-venv)")?;
    // A registry may fail once; the tests should not fail with it.
    for _ in 1..PIP_TRIES {
        if pip(python).run_ok(limit).await.is_ok() {
            return Ok(());
        }
    }
    pip(python)
        .run_ok(limit)
        .await
        .context("installing the peers' Python packages")?;
    Ok(())
}

fn pip(python: &Path) -> Launch {
    Launch::new("pip", python)
        .args("-m pip install --quiet --only-binary :all: -r".split(' '))
        .arg(peer_file("requirements.txt"))
}

/// `target/PROFILE`: the test runs from its subdirectory `deps`.
fn profile_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let deps = exe.parent().context("no parent directory")?;
    let is_deps = deps.file_name().is_some_and(|name| name == "deps");
    let profile = if is_deps {
        deps.parent().context("no profile directory")?
    } else {
        deps
    };
    Ok(profile.to_path_buf())
}

/// A source file that changed after the binary was made, by cargo's own list beside it.
fn newer_source(binary: &Path) -> Result<Option<String>> {
    let made = modified(binary)?;
    let list = std::fs::read_to_string(binary.with_extension("d")).unwrap_or_default();
    let newer = |source: &&str| modified(Path::new(source)).is_ok_and(|changed| changed > made);
    let sources = list.split_once(": ").map_or("", |(_, sources)| sources);
    Ok(sources.split_whitespace().find(newer).map(str::to_owned))
}

fn modified(file: &Path) -> Result<SystemTime> {
    Ok(std::fs::metadata(file)?.modified()?)
}
