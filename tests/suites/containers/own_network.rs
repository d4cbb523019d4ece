//! Each test has a network namespace for itself, and so a bridge and a packet filter that nobody else sees; and a `/run/containers`
//! of its own, where podman keeps the addresses that it gave away and the names that its DNS knows, whatever its own directories are.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use strata_tests::tools;

const INSIDE: &str = "STRATA_TEST_OWN_NETWORK";

/// Runs the test `name` again inside of new namespaces, and tells whether that was done: the caller is through then.
///
/// # Errors
///
/// When the test fails there, or the namespaces can't be made.
pub(crate) fn done_in_own_network(name: &str) -> Result<bool> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(false);
    }
    ensure!(nix_is_root(), "containers need root: run the tests as root");
    let unshare =
        tools::find("unshare").context("unshare not found; `apt-get install util-linux`")?;
    tools::find("ip").context("ip not found; `apt-get install iproute2`")?;
    let script =
        "ip link set lo up && mkdir -p /run/containers && mount -t tmpfs none /run/containers &&
        exec \"$0\" --exact \"$1\" --nocapture --test-threads 1";
    let output = Command::new(unshare)
        .args([
            "--net",
            "--mount",
            "--propagation",
            "private",
            "--kill-child",
            "--fork",
            "--pid",
            "--mount-proc",
        ])
        .args(["--", "sh", "-c", script])
        .arg(std::env::current_exe()?)
        .arg(name)
        .env(INSIDE, "1")
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{told}"
    );
    eprintln!("{said}{told}");
    Ok(true)
}

fn nix_is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let mut lines = status.lines();
        lines.any(|line| line.starts_with("Uid:\t0\t"))
    })
}
