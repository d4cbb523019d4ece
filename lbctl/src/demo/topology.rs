//! Which processes there are, and on which ports.
//!
//! Ports have fixed offsets from one base, so that a demo with `--base-port` is the same every time
//! and two demos side by side differ in the base alone. Each region has a hundred of its own.

use crate::failure::{Exit, Failure};
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

const REGIONS: [&str; 3] = ["eu-west", "us-east", "ap-south"];
const REPLICAS: u16 = 2;
const SERVERS: u16 = 3;
/// From a replica's port to its admin port.
const ADMIN: u16 = 10;
/// From a region's first port to its servers.
const SERVER: u16 = 20;
/// From one region to the next.
const REGION: u16 = 100;
/// Bases that are tried: below 32768, where Linux takes the ports of outgoing connections from.
const FIRST_BASE: u16 = 18_000;
const BASE_STEP: u16 = 400;
const BASES: u16 = 35;
const _: () = assert!(FIRST_BASE + BASES * BASE_STEP <= 32_768);

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    GlobalLb,
    RegionalLb,
    Server,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Process {
    pub(super) role: Role,
    pub(super) name: String,
    /// The region that it belongs to; none for a global replica.
    pub(super) region: Option<&'static str>,
    /// 0 until it is started.
    pub(super) pid: u32,
    pub(super) address: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
    /// Its configuration file.
    pub(super) config: Option<PathBuf>,
    /// What it writes to its standard output and error.
    pub(super) log: PathBuf,
}

/// All processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Topology {
    /// Where to send requests.
    pub(super) url: String,
    /// Where configuration and logs are.
    pub(super) directory: PathBuf,
    /// The file with the token that lets orders in.
    pub(super) token: PathBuf,
    pub(super) processes: Vec<Process>,
}

// === impl Role ===

impl Role {
    /// The role as its program's name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::GlobalLb => "global-lb",
            Self::RegionalLb => "regional-lb",
            Self::Server => "server",
        }
    }
}

// === impl Topology ===

impl Topology {
    /// Plans all processes on free ports from `base` on, with their files in `directory`.
    pub(super) fn plan(base: Option<u16>, directory: &Path) -> Result<Self, Failure> {
        if let Some(base) = base {
            let plan = Self::at(base, directory);
            return match plan.taken() {
                None => Ok(plan),
                Some(address) => Err(Failure::new(
                    Exit::Failed,
                    format!("{address} is in use by another program"),
                )
                .hint("choose another --base-port, or leave it out")),
            };
        }
        // Two demos that start at the same time begin at different places.
        let offset = u16::try_from(std::process::id() % u32::from(BASES)).unwrap_or(0);
        (0..BASES)
            .map(|i| FIRST_BASE + (i + offset) % BASES * BASE_STEP)
            .map(|base| Self::at(base, directory))
            .find(|plan| plan.taken().is_none())
            .ok_or_else(|| {
                Failure::new(Exit::Failed, "no free range of ports from 18000 to 32000")
                    .hint("name one with --base-port")
            })
    }

    /// The plan for one base.
    pub(super) fn at(base: u16, directory: &Path) -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let process = |role, name: String, region, port, admin: Option<u16>| Process {
            role,
            region,
            pid: 0,
            address: local(port),
            admin: admin.map(local),
            config: admin.map(|_| directory.join(format!("{name}.yaml"))),
            log: directory.join(format!("{name}.log")),
            name,
        };
        let mut processes = Vec::new();
        for (region, first) in REGIONS.into_iter().zip((1..).map(|i| base + i * REGION)) {
            for i in 0..SERVERS {
                let name = format!("{region}-web-{}", i + 1);
                let port = first + SERVER + i;
                processes.push(process(Role::Server, name, Some(region), port, None));
            }
            for i in 0..REPLICAS {
                let name = format!("{region}-{}", i + 1);
                let (port, admin) = (first + i, first + ADMIN + i);
                processes.push(process(
                    Role::RegionalLb,
                    name,
                    Some(region),
                    port,
                    Some(admin),
                ));
            }
        }
        for i in 0..REPLICAS {
            let (name, port) = (format!("global-{}", i + 1), base + i);
            processes.push(process(
                Role::GlobalLb,
                name,
                None,
                port,
                Some(port + ADMIN),
            ));
        }
        Self {
            url: format!("http://{}/", local(base)),
            directory: directory.to_owned(),
            token: directory.join("token"),
            processes,
        }
    }

    /// The regions' names.
    pub(super) const fn regions() -> [&'static str; 3] {
        REGIONS
    }

    /// Processes of a role, and of a region when one is given.
    pub(super) fn of(&self, role: Role, region: Option<&str>) -> impl Iterator<Item = &Process> {
        self.processes
            .iter()
            .filter(move |p| p.role == role && (region.is_none() || p.region == region))
    }

    /// An address that is in use.
    fn taken(&self) -> Option<SocketAddr> {
        self.processes
            .iter()
            .flat_map(|process| std::iter::once(process.address).chain(process.admin))
            .find(|address| TcpListener::bind(address).is_err())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_platform_has_all_its_processes_on_ports_of_their_own() {
        let plan = Topology::at(18_000, Path::new("/x"));
        assert_eq!(plan.of(Role::GlobalLb, None).count(), 2);
        assert_eq!(plan.of(Role::RegionalLb, None).count(), 6);
        assert_eq!(plan.of(Role::RegionalLb, Some("us-east")).count(), 2);
        assert_eq!(plan.of(Role::Server, Some("eu-west")).count(), 3);
        let ports: Vec<_> = plan
            .processes
            .iter()
            .flat_map(|p| std::iter::once(p.address).chain(p.admin))
            .map(|address| address.port())
            .collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        assert!(
            ports.iter().all(|port| (18_000..=18_322).contains(port)),
            "{ports:?}"
        );
    }

    #[test]
    fn the_highest_base_fits() {
        Topology::at(65_000, Path::new("/x"));
    }

    #[test]
    fn a_port_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = taken.local_addr().unwrap().port();
        if base <= 65_000 {
            let failure = Topology::plan(Some(base), Path::new("/x")).unwrap_err();
            assert!(failure.message.contains("in use"), "{failure}");
        }
    }
}
