//! Limits, pinning and ports: what the measurement asks of the machine.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Listening ports are taken from here: below the kernel's range for outgoing connections, so that
/// no connection of a test can occupy a port between its choice and its use.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Raises this process's limit of open files as far as allowed and returns it; children inherit it.
pub(crate) fn raise_open_files() -> u64 {
    const WANTED: u64 = 65_536;
    let now = getrlimit(Resource::Nofile);
    let higher = Rlimit {
        current: Some(WANTED),
        maximum: Some(WANTED),
    };
    let allowed = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    if now.maximum.is_some_and(|most| most < WANTED) && setrlimit(Resource::Nofile, higher).is_ok()
    {
        return WANTED;
    }
    // Raising the hard limit needs a privilege; without it the hard limit is what there is.
    let reached = if setrlimit(Resource::Nofile, allowed).is_ok() {
        allowed
    } else {
        now
    };
    reached.current.unwrap_or(WANTED)
}

/// Pins the calling thread to the CPUs of `list` (for example `0` or `0-1,3`).
pub(crate) fn pin_self(list: &str) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for cpu in parse_cpus(list)? {
        set.set(cpu);
    }
    sched_setaffinity(None, &set).with_context(|| format!("pinning to CPU {list}"))
}

/// The CPUs named by a list as `taskset -c` takes it; refuses an empty one.
pub(crate) fn parse_cpus(list: &str) -> anyhow::Result<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first
            .trim()
            .parse()
            .with_context(|| format!("CPU list `{list}`"))?;
        let last: usize = last
            .trim()
            .parse()
            .with_context(|| format!("CPU list `{list}`"))?;
        if last < first || last >= CpuSet::MAX_CPU {
            bail!("CPU list `{list}` holds an impossible range");
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

/// `count` distinct loopback addresses that nothing listens on. Another process could still take
/// one before it is used; the contender then fails to start and says so.
pub(crate) fn free_addresses(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    let size = PORTS.end - PORTS.start;
    let offset = u16::try_from(std::process::id() % u32::from(size)).unwrap_or(0);
    let mut held = Vec::with_capacity(count);
    for step in 0..size {
        if held.len() == count {
            break;
        }
        let port = PORTS.start + (offset + step) % size;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push(listener);
        }
    }
    if held.len() < count {
        bail!(
            "no {count} free ports between {} and {}",
            PORTS.start,
            PORTS.end
        );
    }
    held.iter()
        .map(|listener| listener.local_addr().context("reading a bound port"))
        .collect()
}

/// The processor's model name, as the kernel prints it.
pub(crate) fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    model
        .and_then(|line| line.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim())
        .to_owned()
}

/// The kernel's release.
pub(crate) fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

/// The load average over one minute; `None` when it cannot be read.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg")
        .ok()?
        .split(' ')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_read_as_taskset_reads_them() {
        assert_eq!(parse_cpus("1").unwrap(), [1]);
        assert_eq!(parse_cpus("0-2,5").unwrap(), [0, 1, 2, 5]);
        for wrong in ["", "a", "3-1", "0-100000"] {
            assert!(parse_cpus(wrong).is_err(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn free_addresses_are_distinct() {
        let mut addresses = free_addresses(5).unwrap();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 5);
    }
}
