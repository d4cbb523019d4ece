//! Podman with storage, networks and state of its own, below a directory that ends with it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use strata_tests::tools;
use tempfile::TempDir;

/// The image that is tested.
pub(crate) const IMAGE: &str = "localhost/strata:test";
/// What its labels say.
pub(crate) const SOURCE: &str = "https://git.example.com/strata";
pub(crate) const DOCUMENTATION: &str = "https://strata.example.com/docs";

/// The bridge's link-layer address, one of those that are administered locally.
const BRIDGE: &str = "02:00:00:00:00:01";

/// What runc may set: not more than what the test itself has.
const SETTINGS: &str = "[containers]
default_ulimits = [\"nofile=20000:20000\", \"nproc=20000:20000\"]
[engine]
events_logger = \"none\"
";

/// A podman for one test.
pub(crate) struct Engine {
    podman: PathBuf,
    dir: TempDir,
}

/// How a container ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: i32,
    pub(crate) log: String,
}

// === impl Engine ===

impl Engine {
    pub(crate) fn start() -> Result<Self> {
        let podman = tools::find("podman").context("podman not found; `apt-get install podman`")?;
        for (name, package) in [
            ("runc", "runc"),
            ("iptables", "iptables"),
            ("conmon", "conmon"),
        ] {
            tools::find(name)
                .with_context(|| format!("{name} not found; `apt-get install {package}`"))?;
        }
        let dir = tempfile::Builder::new().prefix("strata-pods-").tempdir()?;
        std::fs::write(dir.path().join("containers.conf"), SETTINGS)?;
        Ok(Self { podman, dir })
    }

    /// With the image built from programs that are there, and a network called `pods`.
    pub(crate) fn with_image() -> Result<Self> {
        let engine = Self::start()?;
        engine.build(IMAGE)?;
        engine.run(&["network", "create", "pods"])?;
        engine.make_bridge()?;
        Ok(engine)
    }

    /// Makes the network's bridge, which podman then finds, with an address of its own. A bridge that was given none takes the lowest of its
    /// ports' addresses, so it changes when a container comes or goes; the others go on sending to the old one, which is another port's now, and
    /// reach nothing on this side until their neighbour entries are renewed.
    fn make_bridge(&self) -> Result<()> {
        let format = "{{.NetworkInterface}} {{range .Subnets}}{{.Gateway}} {{.Subnet}}{{end}}";
        let told = self.run(&["network", "inspect", "--format", format, "pods"])?;
        let words: Vec<_> = told.split([' ', '/']).collect();
        let [name, gateway, _, prefix] = words[..] else {
            bail!("the network pods: {told}");
        };
        let gateway = format!("{gateway}/{prefix}");
        for order in [
            format!("link add {name} address {BRIDGE} type bridge"),
            format!("address add {gateway} dev {name}"),
            format!("link set {name} up"),
        ] {
            let output = Command::new("ip").args(order.split(' ')).output()?;
            succeeded(output, &format!("ip {order}"))?;
        }
        Ok(())
    }

    /// Builds the image; gives its digest.
    pub(crate) fn build(&self, tag: &str) -> Result<String> {
        let programs = tools::target_dir()?.join("image");
        ensure!(
            programs.join("usr/bin/regional-lb").is_file(),
            "{} has no programs: run `make image-programs`",
            programs.display()
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/image/build.sh");
        let mut command = Command::new(script);
        command
            .env("ENGINE", &self.podman)
            .env("ENGINE_OPTIONS", self.options().join(" "))
            .envs([("SOURCE", SOURCE), ("DOCUMENTATION", DOCUMENTATION)])
            .arg("--programs")
            .arg(&programs)
            .args(["--tag", tag, "--", "--isolation", "chroot", "--no-cache"]);
        succeeded(self.known(&mut command).output()?, "building the image")?;
        self.run(&["image", "inspect", "--format", "{{.Digest}}", tag])
    }

    /// Runs a verb of podman; gives its output.
    pub(crate) fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.podman);
        command.args(self.options()).args(args);
        let output = self.known(&mut command).output()?;
        succeeded(output, &format!("podman {}", args.join(" ")))
    }

    /// The address of a container.
    pub(crate) fn address(&self, name: &str, port: u16) -> Result<SocketAddr> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = self.run(&["inspect", "--format", format, name])?;
        let address: IpAddr = address
            .parse()
            .with_context(|| format!("{name}: {address:?}"))?;
        Ok(SocketAddr::new(address, port))
    }

    /// The address of this side of the bridge.
    pub(crate) fn gateway(&self) -> Result<IpAddr> {
        let format = "{{range .Subnets}}{{.Gateway}}{{end}}";
        Ok(self
            .run(&["network", "inspect", "--format", format, "pods"])?
            .parse()?)
    }

    /// How a container ended, when it has.
    pub(crate) fn ended(&self, name: &str) -> Result<Option<End>> {
        let state = self.run(&[
            "inspect",
            "--format",
            "{{.State.Status}} {{.State.ExitCode}}",
            name,
        ])?;
        match state.split_once(' ') {
            Some(("exited" | "stopped", code)) => Ok(Some(End {
                code: code.parse()?,
                log: self.log(name)?,
            })),
            Some(("running" | "stopping", _)) => Ok(None),
            _ => bail!("{name}: {state}"),
        }
    }

    /// What a container wrote.
    pub(crate) fn log(&self, name: &str) -> Result<String> {
        let mut command = Command::new(&self.podman);
        command.args(self.options()).args(["logs", name]);
        let output = self.known(&mut command).output()?;
        Ok([output.stdout, output.stderr]
            .map(|part| String::from_utf8_lossy(&part).into_owned())
            .concat())
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn options(&self) -> Vec<String> {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        let words = [
            "--root",
            &at("root"),
            "--runroot",
            &at("run"),
            "--tmpdir",
            &at("tmp"),
            "--network-config-dir",
            &at("networks"),
            "--storage-driver",
            "overlay",
            "--runtime",
            "runc",
            "--cgroup-manager",
            "cgroupfs",
        ];
        words.map(str::to_owned).to_vec()
    }

    fn known<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("CONTAINERS_CONF", self.dir.path().join("containers.conf"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.run(&["rm", "--force", "--all", "--time", "0"]);
        // What podman leaves mounted would keep the directory.
        let root = self.dir.path().join("root/overlay");
        let _ = Command::new("umount").arg("--quiet").arg(root).status();
    }
}

fn succeeded(output: Output, what: &str) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{what}: {}\n{said}\n{told}",
        output.status
    );
    Ok(said)
}
