//! How much memory this process has, and how much it may have.
//!
//! **Limit.** The control group's `memory.max` (version 2) or `memory.limit_in_bytes` (version 1). A limit of any group above
//! ours binds as well, so the smallest on the way to the root counts. It is read each time, as it may be changed while we run.
//!
//! **Use.** What the kernel can't take back without killing somebody. Where a group sets the limit, that is what the group uses without
//! its page cache and reclaimable slab: sockets' buffers, which are the kernel's and yet ours, and both processes of an upgrade are in
//! it, our programs' own files are not. It is the innermost group's, where our relatives are, not that of a group above, where others
//! may be. Where the operator sets the limit, it is the process's own memory.
//!
//! **Rejected.** Resident memory (`VmRSS`): with the pages of the binary, which the kernel drops at need, and without the sockets. A kubelet's working
//! set (without inactive files only): counts active page cache, which is taken back before anybody is killed.
//!
//! Linux only. A look costs two or three small reads, [`Memory::quick`] one.

use std::path::{Path, PathBuf};

/// Where the control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// Version 1 says "no limit" by a number near 2^63.
const NO_LIMIT: u64 = 1 << 60;

/// More than what mimalloc keeps in pages for several blocks (512 KiB): a block of this size has a page of its own, which its end frees.
const OWN_PAGE: usize = 1 << 20;

/// Lets the allocator give freed memory back. mimalloc does that beside the freeing of a page, some time after it became free
/// (`purge_delay`): when a flood is over nobody frees pages any more, and a process that refuses for its memory would refuse for ever.
/// One call frees one page, and gives back what all threads have freed; some microseconds.
pub fn give_back() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(OWN_PAGE)));
}

/// Where to read.
#[derive(Debug, Default)]
pub struct Memory {
    limits: Vec<PathBuf>,
    group: Option<Group>,
    page: u64,
}

/// The innermost control group that is visible.
#[derive(Debug)]
struct Group {
    usage: PathBuf,
    stat: PathBuf,
    /// Lines of `stat` with what the kernel takes back.
    reclaimable: &'static [&'static str],
}

/// Names of files.
struct Version {
    limit: &'static str,
    usage: &'static str,
    reclaimable: &'static [&'static str],
}

const V1: Version = Version {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: &["total_inactive_file", "total_active_file"],
};
const V2: Version = Version {
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: &["inactive_file", "active_file", "slab_reclaimable"],
};

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
        let mut found = Self {
            page: rustix::param::page_size() as u64,
            ..Self::default()
        };
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
                continue;
            };
            let (base, version) = if controllers.is_empty() {
                (root.to_owned(), V2)
            } else if controllers.split(',').any(|name| name == "memory") {
                (root.join("memory"), V1)
            } else {
                continue;
            };
            // Inside a container the path may be the one outside it; then only the root is there.
            let group = group.trim_start_matches('/');
            let way = Path::new(group).ancestors().map(|part| base.join(part));
            for part in way.filter(|part| part.join(version.limit).exists()) {
                found.limits.push(part.join(version.limit));
                found.group.get_or_insert_with(|| Group {
                    usage: part.join(version.usage),
                    stat: part.join("memory.stat"),
                    reclaimable: version.reclaimable,
                });
            }
        }
        found
    }

    /// Bytes of the process that are no file's. A microsecond.
    #[must_use]
    pub fn quick(&self) -> Option<u64> {
        let text = std::fs::read_to_string("/proc/self/statm").ok()?;
        let mut pages = text.split_whitespace().skip(1).map(str::parse::<u64>);
        let (Some(Ok(resident)), Some(Ok(shared))) = (pages.next(), pages.next()) else {
            return None;
        };
        Some(resident.saturating_sub(shared) * self.page)
    }

    /// Bytes of the control group that the kernel can't take back.
    #[must_use]
    pub fn of_group(&self) -> Option<u64> {
        let group = self.group.as_ref()?;
        let usage = std::fs::read_to_string(&group.usage).ok()?;
        let stat = std::fs::read_to_string(&group.stat).ok()?;
        let reclaimable = stat.lines().filter_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            group.reclaimable.contains(&name).then_some(bytes)
        });
        let reclaimable = reclaimable.filter_map(|bytes| bytes.parse::<u64>().ok());
        let usage: u64 = usage.trim().parse().ok()?;
        Some(usage.saturating_sub(reclaimable.sum()))
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
    fn what_the_kernel_takes_back_is_not_in_use() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a/memory.max", "90000\n");
        write(dir.path(), "a/memory.current", "80000\n");
        write(dir.path(), "a/b/memory.max", "max\n");
        write(dir.path(), "a/b/memory.current", "50000\n");
        let stat = "anon 20000\nfile 25000\nshmem 5000\nsock 4000\ninactive_file 12000\nactive_file 8000\nslab_reclaimable 1000\n";
        write(dir.path(), "a/b/memory.stat", stat);
        let memory = Memory::of_groups("0::/a/b\n", dir.path());
        assert_eq!(
            (memory.of_group(), memory.limit()),
            (Some(29000), Some(90000))
        );
    }

    #[test]
    fn the_first_version_counts_the_groups_below() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "memory/memory.limit_in_bytes", "90000\n");
        write(dir.path(), "memory/memory.usage_in_bytes", "50000\n");
        let stat = "cache 1\nactive_file 1\ntotal_inactive_file 12000\ntotal_active_file 8000\n";
        write(dir.path(), "memory/memory.stat", stat);
        let memory = Memory::of_groups("2:memory:/libpod-1\n", dir.path());
        assert_eq!(
            memory.of_group(),
            Some(30000),
            "of the root, as inside of a container"
        );
    }

    #[test]
    fn this_process_has_some_memory() {
        assert!(Memory::of_this_process().quick().unwrap() > 1 << 20);
    }
}
