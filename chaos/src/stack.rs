//! Two tiers of one contender in front of scripted servers: processes, ports and files of one scenario.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::eventually;
use strata_tests::load::Load;
use strata_tests::process::Process;
use strata_tests::server::{Behaviour, Ledger, Server};
use tempfile::TempDir;

use crate::contender::{Places, Subject, Tier};
use crate::plan::Plan;
use crate::template::{Region as RegionText, Settings, Upstream, fill};

/// Users that the load comes from: who is moved elsewhere is chosen by address.
const USERS: u16 = 2000;
const READY: Duration = Duration::from_secs(30);
/// Good answers in a row from each global replica, until the stack counts as ready.
const ANSWERS: usize = 12;

/// A process of a tier.
#[derive(Debug)]
pub struct Proxy {
    /// Its name.
    pub name: String,
    /// Where it serves.
    pub address: SocketAddr,
    admin: SocketAddr,
    process: Process,
}

/// A region with its processes and servers.
#[derive(Debug)]
pub struct Region {
    /// Name: `r1`, `r2` …
    pub name: String,
    /// Processes: `r1-a`, `r1-b` …
    pub replicas: Vec<Proxy>,
    /// Servers: `r1-1`, `r1-2` …
    pub servers: Vec<Server>,
}

/// Running processes and servers; dropping it ends them all.
#[derive(Debug)]
pub struct Stack {
    /// Global tier.
    pub globals: Vec<Proxy>,
    /// Regions.
    pub regions: Vec<Region>,
    _dir: TempDir,
}

/// What the start of one process needs.
struct Starter<'a> {
    subject: Subject,
    plan: &'a Plan,
    places: &'a Places,
    dir: TempDir,
}

// === impl Stack ===

impl Stack {
    /// Starts servers, regional and global processes, and waits until each global process answers well.
    ///
    /// # Errors
    ///
    /// When a program is missing or does not serve in time; the message holds its output.
    pub async fn start(subject: Subject, plan: &Plan, places: &Places) -> Result<Self> {
        let starter = Starter {
            subject,
            plan,
            places,
            dir: tempfile::Builder::new().prefix("strata-chaos-").tempdir()?,
        };
        let mut regions = Vec::new();
        for number in 1..=plan.regions {
            regions.push(starter.region(&format!("r{number}")).await?);
        }
        for replica in regions.iter_mut().flat_map(|region| &mut region.replicas) {
            replica.wait_ready().await?;
        }
        let mut globals = Vec::new();
        for number in 1..=plan.globals {
            globals.push(starter.global(&format!("g{number}"), &regions)?);
        }
        for global in &mut globals {
            global.wait_ready().await?;
        }
        Ok(Self {
            globals,
            regions,
            _dir: starter.dir,
        })
    }

    /// A load over all global processes; what fails is the contender's fault, so nothing is sent again.
    pub fn load(&self, rate: f64) -> Load {
        let targets = self.globals.iter().map(|global| global.address);
        Load::across(targets)
            .rate(rate)
            .users(USERS)
            .no_resend()
            .late_after(Duration::from_secs(2))
    }

    /// All servers.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.regions.iter().flat_map(|region| &region.servers)
    }

    /// Their accounts.
    pub fn ledgers(&self) -> Vec<&Ledger> {
        self.servers().map(Server::ledger).collect()
    }

    /// A region by its number, from 0.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn region(&mut self, index: usize) -> Result<&mut Region> {
        self.regions.get_mut(index).context("no such region")
    }

    /// As [`Stack::region`], for reading.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn region_ref(&self, index: usize) -> Result<&Region> {
        self.regions.get(index).context("no such region")
    }

    /// A server by its region's number and its own, from 0.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn server(&self, region: usize, index: usize) -> Result<&Server> {
        let region = self.region_ref(region)?;
        region.servers.get(index).context("no such server")
    }

    /// Changes the script of every server.
    pub fn script(&self, change: impl Fn(&mut Behaviour)) {
        self.servers().for_each(|server| server.script(&change));
    }
}

// === impl Starter ===

impl Starter<'_> {
    async fn region(&self, name: &str) -> Result<Region> {
        let mut servers = Vec::new();
        for number in 1..=self.plan.servers {
            let builder = Server::builder(format!("{name}-{number}")).seed(number as u64);
            servers.push(builder.script(|b| self.plan.script(b)).start().await?);
        }
        let upstreams: Vec<Upstream> = servers
            .iter()
            .map(|server| Upstream {
                name: server.name().to_owned(),
                at: server.address().into(),
                admin: server.address().into(),
            })
            .collect();
        let mut replicas = Vec::new();
        for letter in ('a'..='z').take(self.plan.replicas) {
            let settings = self.settings(&format!("{name}-{letter}"), name)?;
            replicas.push(self.start(
                Tier::Regional,
                Settings {
                    servers: upstreams.clone(),
                    ..settings.0
                },
                settings.1,
            )?);
        }
        Ok(Region {
            name: name.to_owned(),
            replicas,
            servers,
        })
    }

    fn global(&self, name: &str, regions: &[Region]) -> Result<Proxy> {
        let known = |(priority, region): (usize, &Region)| RegionText {
            name: region.name.clone(),
            priority,
            replicas: region.replicas.iter().map(Proxy::as_upstream).collect(),
        };
        let (settings, addresses) = self.settings(name, "")?;
        let settings = Settings {
            regions: regions.iter().enumerate().map(known).collect(),
            ..settings
        };
        self.start(Tier::Global, settings, addresses)
    }

    fn settings(&self, name: &str, region: &str) -> Result<(Settings, [SocketAddr; 2])> {
        let addresses = [strata_tests::ports::free()?, strata_tests::ports::free()?];
        let [listen, admin] = addresses.map(Into::into);
        let settings = Settings {
            name: name.to_owned(),
            region: region.to_owned(),
            listen,
            admin,
            order: self.plan.order,
            regions: Vec::new(),
            servers: Vec::new(),
            slow_start_s: self.plan.slow_start_s,
            adaptive: self.plan.adaptive,
            quiet_in_flight: self.plan.quiet_in_flight(),
            capacity: self.plan.capacity(),
            off: self.subject.off,
        };
        Ok((settings, addresses))
    }

    fn start(
        &self,
        tier: Tier,
        settings: Settings,
        [address, admin]: [SocketAddr; 2],
    ) -> Result<Proxy> {
        let template = self.subject.contender.template(tier);
        let name = settings.name.clone();
        let suffix = template.trim_end_matches(".tmpl");
        let config = self.dir.path().join(format!("{name}-{suffix}"));
        fill(&self.places.templates.join(&template), &settings, &config)?;
        let log = self.dir.path().join(format!("{name}.log"));
        let contender = self.subject.contender;
        let launch = contender.launch(tier, &name, &config, self.places)?;
        Ok(Proxy {
            process: launch.start_logging_to(&log)?,
            name,
            address,
            admin,
        })
    }
}

// === impl Proxy ===

impl Proxy {
    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it with SIGSTOP; the kernel still accepts connections for it.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub async fn freeze(&mut self) -> Result<()> {
        self.process.freeze().await
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub async fn thaw(&mut self) -> Result<()> {
        self.process.thaw().await
    }

    fn as_upstream(&self) -> Upstream {
        Upstream {
            name: self.name.clone(),
            at: self.address.into(),
            admin: self.admin.into(),
        }
    }

    /// Waits for good answers in a row: by then the checks behind it have settled.
    async fn wait_ready(&mut self) -> Result<()> {
        let (address, name) = (self.address, self.name.clone());
        let what = format!("{name} serving at {address}");
        let waited = eventually(READY, &what, async || {
            ensure!(self.process.is_running(), "{name} has ended");
            for _ in 0..ANSWERS {
                let answer = strata_tests::http::get(address, "/").await?;
                ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
            }
            Ok(())
        });
        waited.await.map_err(|e| self.process.with_tail(e))
    }
}
