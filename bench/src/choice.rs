//! The time that one choice of a server takes, as lb-core's own example measures it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Runs `examples/pick_time` from the directory of our programs; `None` when it is not built.
pub(crate) fn measure(own: &Path, cpus: &str) -> anyhow::Result<Option<Value>> {
    let program = own.join("examples").join("pick_time");
    if !program.is_file() {
        return Ok(None);
    }
    let output = Command::new("taskset")
        .args(["-c", cpus])
        .arg(program)
        .args(["--output", "json"])
        .output()
        .context("running pick_time")?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("pick_time ended with {}: {}", output.status, errors.trim());
    }
    serde_json::from_slice(&output.stdout)
        .context("pick_time printed no JSON")
        .map(Some)
}
