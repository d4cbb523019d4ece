//! How much memory this process has, and how much it may have.
//!
//! Linux only: `VmRSS` of `/proc/self/status`, and the control group's `memory.max` (version 2) or `memory.limit_in_bytes` (version 1).
//! A limit of any group above ours binds as well, so the smallest on the way to the root counts. It is read again each
//! time, as it may be changed while we run; two or three small reads a second.

use std::path::{Path, PathBuf};

/// Where the control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// Version 1 says "no limit" by a number near 2^63.
const NO_LIMIT: u64 = 1 << 60;

/// Where to read.
#[derive(Debug, Default)]
pub struct Memory {
    limits: Vec<PathBuf>,
}

// === impl Memory ===

impl Memory {
    /// Of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of_groups(&groups, Path::new(ROOT))
    }

    /// By the text of `/proc/self/cgroup`.
    fn of_groups(groups: &str, root: &Path) -> Self {
        let mut limits = Vec::new();
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
                continue;
            };
            let (base, file) = if controllers.is_empty() {
                (root.to_owned(), "memory.max")
            } else if controllers.split(',').any(|name| name == "memory") {
                (root.join("memory"), "memory.limit_in_bytes")
            } else {
                continue;
            };
            // Inside a container the path may be the one outside it; then only the root is there.
            let group = group.trim_start_matches('/');
            let way = Path::new(group).ancestors();
            limits.extend(way.map(|part| base.join(part).join(file)));
        }
        limits.retain(|file| file.exists());
        Self { limits }
    }

    /// Resident bytes.
    #[must_use]
    pub fn used(&self) -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib << 10)
    }

    /// The bytes that the control group allows; none when it sets no limit.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        let limits = self.limits.iter().filter_map(|file| {
            let text = std::fs::read_to_string(file).ok()?;
            text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
        });
        limits.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let file = root.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    #[test]
    fn the_smallest_limit_on_the_way_counts() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a/memory.max", "1000\n");
        write(dir.path(), "a/b/memory.max", "max\n");
        write(dir.path(), "a/b/c/memory.max", "5000\n");
        let memory = Memory::of_groups("0::/a/b/c\n", dir.path());
        assert_eq!(memory.limit(), Some(1000));
    }

    #[test]
    fn the_first_version_is_known_and_its_largest_number_is_none() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "memory/x/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        let groups = "3:cpu,cpuacct:/x\n2:memory:/x\n";
        assert_eq!(Memory::of_groups(groups, dir.path()).limit(), None);
        write(dir.path(), "memory/x/memory.limit_in_bytes", "4096\n");
        assert_eq!(Memory::of_groups(groups, dir.path()).limit(), Some(4096));
    }

    #[test]
    fn this_process_has_some_memory() {
        assert!(Memory::of_this_process().used().unwrap() > 1 << 20);
    }
}
