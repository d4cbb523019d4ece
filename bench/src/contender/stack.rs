//! One or two proxies in a chain in front of the test servers.
//!
//! Each measurement starts a fresh stack, so that no contender profits from or suffers under what an
//! earlier one left in its heap, and so that rounds can be interleaved.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::program::{Places, Program};
use super::template::{Settings, Upstream, fill};
use super::{Contender, Row};
use crate::clock;
use crate::interrupt::Interrupt;
use crate::load::Target;
use crate::process::{Launch, Managed};
use crate::procfs::Pid;
use crate::sys;

/// The longest time that a contender may take until it serves.
const READY: Duration = Duration::from_secs(15);
/// Pause between two looks at whether it does.
const POLL: Duration = Duration::from_millis(20);
/// Test servers behind every contender.
const SERVERS: usize = 3;

/// What all stacks of a run have in common.
pub(crate) struct Bed {
    pub(crate) places: Places,
    /// Directory of the configuration templates.
    pub(crate) templates: PathBuf,
    /// Directory for configurations and logs of this run.
    pub(crate) scratch: PathBuf,
    /// CPUs of the proxies, as `taskset -c` takes them.
    pub(crate) proxy_cpus: String,
    /// CPUs of the test servers.
    pub(crate) load_cpus: String,
    pub(crate) open_files: u64,
    /// Run the peers without protections and header edits.
    pub(crate) bare: bool,
    pub(crate) interrupt: Interrupt,
}

/// The running test servers.
pub(crate) struct TestServers {
    process: Managed,
    addresses: Vec<SocketAddr>,
}

/// A running chain.
pub(crate) struct Stack {
    /// Innermost tier first; dropped in that order.
    tiers: Vec<Managed>,
    /// Where users connect.
    address: SocketAddr,
}

// === impl TestServers ===

impl TestServers {
    /// Starts them in a process of their own, answering with bodies of `size` bytes.
    pub(crate) fn start(bed: &Bed, size: usize) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut process = Launch {
            name: "test servers",
            program: &program,
            arguments: [
                "upstream",
                "--count",
                &SERVERS.to_string(),
                "--body",
                &size.to_string(),
            ]
            .iter()
            .map(Into::into)
            .collect(),
            cpus: &bed.load_cpus,
            log: bed.scratch.join("servers.log"),
            piped: true,
        }
        .start()?;
        let mut line = String::new();
        let stdout = process
            .take_stdout()
            .context("the test servers' output is not piped")?;
        BufReader::new(stdout)
            .read_line(&mut line)
            .context("reading the servers' addresses")?;
        let addresses: Vec<SocketAddr> = line
            .split_ascii_whitespace()
            .filter_map(|address| address.parse().ok())
            .collect();
        if addresses.len() != SERVERS {
            bail!("the test servers did not start:\n{}", process.log_tail());
        }
        Ok(Self { process, addresses })
    }

    /// Their process.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        self.process.pids()
    }
}

// === impl Stack ===

impl Stack {
    /// Starts the tiers of `row`, innermost first, each once the one behind it serves.
    pub(crate) fn start(bed: &Bed, servers: &TestServers, row: &Row) -> anyhow::Result<Self> {
        let mut upstreams: Vec<Upstream> = Vec::new();
        for (index, address) in servers.addresses.iter().enumerate() {
            let name = format!("s{}", index + 1);
            upstreams.push(Upstream {
                name,
                at: (*address).into(),
                admin: None,
            });
        }
        let first = servers
            .addresses
            .first()
            .copied()
            .context("no test server")?;
        let mut stack = Self {
            tiers: Vec::new(),
            address: first,
        };
        for (index, program) in Program::chain(row).into_iter().enumerate() {
            let tier = Tier {
                bed,
                row,
                program,
                number: index + 1,
            };
            let (process, listen, admin) = tier.start(&upstreams)?;
            stack.tiers.push(process);
            stack.address = listen;
            upstreams = vec![Upstream {
                name: tier.name(),
                at: listen.into(),
                admin: Some(admin.into()),
            }];
        }
        Ok(stack)
    }

    /// Where users connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All processes of all tiers.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        self.tiers.iter().flat_map(Managed::pids).collect()
    }

    /// An error when a tier has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        self.tiers.iter_mut().try_for_each(Managed::check)
    }
}

/// One tier about to start.
struct Tier<'a> {
    bed: &'a Bed,
    row: &'a Row,
    program: Program,
    /// Counted from the servers, from 1.
    number: usize,
}

// === impl Tier ===

impl Tier<'_> {
    fn name(&self) -> String {
        format!("{}-{}", self.program.name(), self.number)
    }

    fn start(&self, servers: &[Upstream]) -> anyhow::Result<(Managed, SocketAddr, SocketAddr)> {
        let Self {
            bed, row, program, ..
        } = self;
        let executable = program.locate(&bed.places).map_err(|missing| {
            anyhow::anyhow!(missing.hint).context(format!("{} is missing", program.name()))
        })?;
        let addresses = sys::free_addresses(2)?;
        let [listen, admin] = addresses.as_slice() else {
            bail!("no free ports")
        };
        let directory = bed.scratch.join(self.name());
        fs::create_dir_all(&directory).context("creating a directory for a tier")?;
        let settings = Settings {
            name: self.name(),
            listen: (*listen).into(),
            admin: (*admin).into(),
            servers,
            threads: row.threads,
            threading: row.threading.map_or("", super::Threading::name),
            open_files: bed.open_files,
            directory: directory.display().to_string(),
            superuser: rustix::process::geteuid().is_root(),
            bare: bed.bare,
            is_protected: row.contender != Contender::StrataOff,
        };
        let template = bed.templates.join(program.template());
        let config = directory.join(program.template().trim_end_matches(".tmpl"));
        fill(&template, &settings, &config)?;
        let mut process = Launch {
            name: program.name(),
            program: &executable,
            arguments: program.arguments(&config, row.threads),
            cpus: &bed.proxy_cpus,
            log: directory.join("log"),
            piped: false,
        }
        .start()?;
        if program.has_readyz() {
            self.await_answer(
                &mut process,
                *admin,
                b"GET /readyz HTTP/1.1\r\nHost: bench\r\n\r\n",
            )?;
        }
        self.await_answer(&mut process, *listen, &Target::get(*listen).request)?;
        Ok((process, *listen, *admin))
    }

    /// Asks until a 2xx answer comes.
    fn await_answer(
        &self,
        process: &mut Managed,
        address: SocketAddr,
        request: &[u8],
    ) -> anyhow::Result<()> {
        let begin = clock::now();
        loop {
            let Err(error) = try_once(address, request) else {
                return Ok(());
            };
            process.check()?;
            if clock::now().saturating_duration_since(begin) > READY {
                let (name, tail) = (self.program.name(), process.log_tail());
                return Err(error.context(format!("{name} is not ready after {READY:?}:\n{tail}")));
            }
            self.bed.interrupt.wait(POLL)?;
        }
    }
}

fn try_once(address: SocketAddr, request: &[u8]) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(request)?;
    // Only the status counts here, so any framing of the body will do.
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    if !start.starts_with(b"HTTP/1.1 2") {
        bail!(
            "the answer began with {:?}",
            String::from_utf8_lossy(&start)
        );
    }
    Ok(())
}
