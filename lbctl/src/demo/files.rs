//! The demo's directory and the configuration files in it, written as a person would write them.

use super::topology::{Process, Role, Topology};
use crate::failure::{Exit, Failure};
use std::fmt::Write;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Directories that are tried before giving up.
const TRIES: u32 = 100;

/// A directory of this process's own; it goes with this value.
pub(super) struct Scratch(PathBuf);

/// Writes the configuration of every process that has one, and the token of them all.
pub(super) fn write(topology: &Topology) -> Result<(), Failure> {
    token(&topology.token).map_err(|error| {
        let path = topology.token.display();
        Failure::new(Exit::Failed, format!("can't write {path}: {error}"))
    })?;
    for process in &topology.processes {
        let (Some(path), Some(text)) = (&process.config, text(topology, process)) else {
            continue;
        };
        std::fs::write(path, text).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("can't write {}: {error}", path.display()),
            )
        })?;
    }
    Ok(())
}

/// 64 hexadecimal digits of the system's randomness, for this user's eyes.
fn token(path: &Path) -> io::Result<()> {
    let mut random = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    io::Write::write_all(&mut file, format!("{text}\n").as_bytes())
}

fn text(topology: &Topology, process: &Process) -> Option<String> {
    let head = head(topology, process)?;
    match (process.role, process.region) {
        (Role::GlobalLb, _) => Some(head + &regions(topology)),
        (Role::RegionalLb, Some(region)) => Some(head + &pool(topology, region)),
        _ => None,
    }
}

fn head(topology: &Topology, process: &Process) -> Option<String> {
    let sisters = topology.of(process.role, process.region);
    let peers: Vec<String> = sisters.filter_map(|p| Some(p.admin?.to_string())).collect();
    let region = process
        .region
        .map_or(String::new(), |name| format!("region: {name}\n"));
    Some(format!(
        "# Change this file while it serves: it is read again at once.
name: {name}
{region}threads: 1
listeners:
  - name: web
    address: {address}
    protocols: [http1, h2c]
admin:
  address: {admin}
  token_file: {token}
peers: [{peers}]
state:
  directory: {name}.state
shutdown:
  lame_duck: 0s
",
        name = process.name,
        address = process.address,
        admin = process.admin?,
        token = topology.token.file_name()?.display(),
        peers = peers.join(", "),
    ))
}

fn pool(topology: &Topology, region: &str) -> String {
    let mut text = "trusted_proxies: [127.0.0.0/8]
routes:
  - name: all
    pool: web
pools:
  - name: web
    health_check:
      http:
        path: /healthz
    servers:
"
    .to_owned();
    for server in topology.of(Role::Server, Some(region)) {
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "      - name: {}\n        address: {}",
            server.name, server.address
        );
    }
    text
}

fn regions(topology: &Topology) -> String {
    let mut text = "routes:
  - name: all
    regions:
      policy: priority
regions:
"
    .to_owned();
    for (priority, region) in Topology::regions().into_iter().enumerate() {
        let _ = writeln!(
            text,
            "  - name: {region}\n    priority: {priority}\n    replicas:"
        );
        for replica in topology.of(Role::RegionalLb, Some(region)) {
            let _ = writeln!(
                text,
                "      - name: {}\n        address: {}",
                replica.name, replica.address
            );
            if let Some(admin) = replica.admin {
                let _ = writeln!(text, "        admin: {admin}");
            }
        }
    }
    text
}

// === impl Scratch ===

impl Scratch {
    /// Makes a new directory that only this user can enter. An existing one is never taken over.
    pub(super) fn create() -> Result<Self, Failure> {
        let base = std::env::temp_dir();
        let pid = std::process::id();
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for i in 0..TRIES {
            let path = base.join(format!("lbctl-demo-{pid}-{i}"));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
        let message = format!("can't make a directory in {}: {last}", base.display());
        Err(Failure::new(Exit::Failed, message).hint("TMPDIR names another place"))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("lbctl: can't remove {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::config::model::{Global, Regional};
    use std::os::unix::fs::PermissionsExt;

    fn texts(role: Role) -> Vec<String> {
        let topology = Topology::at(18_000, Path::new("/x"));
        topology
            .of(role, None)
            .filter_map(|process| text(&topology, process))
            .collect()
    }

    #[test]
    fn regional_files_are_what_the_program_reads() {
        let texts = texts(Role::RegionalLb);
        assert_eq!(texts.len(), 6);
        for text in texts {
            let config: Regional = serde_yaml::from_str(&text).unwrap();
            assert_eq!(config.pools[0].servers.len(), 3);
            assert_eq!(config.routes[0].pool.as_ref(), Some(&config.pools[0].name));
            assert!(config.name.as_str().starts_with(config.region.as_str()));
        }
    }

    #[test]
    fn global_files_are_what_the_program_reads() {
        let texts = texts(Role::GlobalLb);
        assert_eq!(texts.len(), 2);
        for text in texts {
            let config: Global = serde_yaml::from_str(&text).unwrap();
            let priorities: Vec<_> = config.regions.iter().map(|r| r.priority).collect();
            assert_eq!(priorities, [0, 1, 2]);
            assert!(config.regions.iter().all(|r| r.replicas.len() == 2));
            assert!(config.regions[0].replicas[0].admin.is_some());
        }
    }

    #[test]
    fn the_directory_is_private_and_goes_with_its_owner() {
        let scratch = Scratch::create().unwrap();
        let path = scratch.path().to_owned();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let second = Scratch::create().unwrap();
        assert_ne!(second.path(), path);
        drop(scratch);
        assert!(!path.exists());
    }
}
