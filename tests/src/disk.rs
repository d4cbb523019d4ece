//! A small disk, for tests of what happens when it is full.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A disk of 256 KiB that ends with the value.
#[derive(Debug)]
pub struct Disk(PathBuf);

// === impl Disk ===

impl Disk {
    /// Mounts it over a directory, which is made when it isn't there. Root only.
    ///
    /// # Errors
    ///
    /// When it can't be mounted.
    pub fn mount(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k,mode=700", "strata-test"])
            .arg(path)
            .output()
            .context("mount")?;
        let told = String::from_utf8_lossy(&mount.stderr).into_owned();
        ensure!(
            mount.status.success(),
            "this test mounts a small disk, which needs root: {told}"
        );
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Fills what is left of it.
    pub fn fill(&self) {
        let _ = std::fs::write(self.filler(), vec![b'x'; 1 << 20]);
    }

    /// Makes room again.
    ///
    /// # Errors
    ///
    /// When it was not full.
    pub fn clear(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}
