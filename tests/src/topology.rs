//! The platform as processes: global and regional replicas in front of scripted servers.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use strata_tests::topology::Topology;
//! let one = Topology::regional().pool("web", 3).start().await?;
//! let all = Topology::two_tier().globals(2).regions(3, 2, 3).start().await?;
//! # Ok(()) }
//! ```
//!
//! Each replica gets a free listener, a free admin address and a file of its own in a temporary directory, and is
//! started as `PROGRAM run --config FILE`. A start is over once `/readyz` of each replica says 200.
//! Tests change files before the start with `tune_*`, and after it with [`Replica::rewrite`].

mod replica;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

pub use self::replica::{Replica, Tier};
use crate::load::Load;
use crate::server::{Ledger, Server};
use crate::strays::Strays;
use crate::subject::Upstream;
use crate::yaml;

type TuneRegional = Arc<dyn Fn(&mut yaml::RegionalFile) + Send + Sync>;
type TuneGlobal = Arc<dyn Fn(&mut yaml::GlobalFile) + Send + Sync>;

/// A plan of processes.
#[derive(Clone, Default)]
pub struct Topology {
    globals: usize,
    regions: usize,
    replicas: usize,
    pools: Vec<PoolPlan>,
    tune_regional: Vec<TuneRegional>,
    tune_global: Vec<TuneGlobal>,
    programs: Option<PathBuf>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
struct PoolPlan {
    name: String,
    servers: usize,
    external: Vec<SocketAddr>,
    extra: &'static str,
}

/// Running processes and servers; dropping it ends them all.
#[derive(Debug)]
pub struct Platform {
    /// Replicas of the global tier; none in a one-tier platform.
    pub globals: Vec<Replica>,
    /// Regions.
    pub regions: Vec<Region>,
    dir: TempDir,
    _strays: Strays,
}

/// A region with its replicas and servers.
#[derive(Debug)]
pub struct Region {
    /// Name: `r1`, `r2` …
    pub name: String,
    /// Replicas: `r1-a`, `r1-b` …
    pub replicas: Vec<Replica>,
    /// Pools in the order of the plan, each with its servers: `r1-web-1`, `r1-web-2` …
    pub pools: Vec<(String, Vec<Server>)>,
}

// === impl Topology ===

impl Topology {
    /// One `regional-lb`; add pools with [`Topology::pool`].
    pub fn regional() -> Self {
        Self {
            regions: 1,
            replicas: 1,
            ..Self::default()
        }
    }

    /// One `global-lb` and one region of one replica with a pool `web`, unless said otherwise.
    pub fn two_tier() -> Self {
        Self {
            globals: 1,
            ..Self::regional()
        }
    }

    /// Adds a pool of scripted servers to each region. The first pool gets the path prefix `/`, others `/NAME/`.
    #[must_use]
    pub fn pool(mut self, name: &str, servers: usize) -> Self {
        let plan = PoolPlan {
            name: name.to_owned(),
            servers,
            external: Vec::new(),
            extra: "",
        };
        self.pools.push(plan);
        self
    }

    /// Adds a pool of servers that the test runs itself.
    #[must_use]
    pub fn external_pool(mut self, name: &str, servers: &[SocketAddr], upstream: Upstream) -> Self {
        let extra = if upstream == Upstream::H2c {
            "protocol: h2"
        } else {
            ""
        };
        let external = servers.to_vec();
        self.pools.push(PoolPlan {
            name: name.to_owned(),
            servers: 0,
            external,
            extra,
        });
        self
    }

    /// Number of `global-lb` processes.
    #[must_use]
    pub fn globals(mut self, count: usize) -> Self {
        self.globals = count;
        self
    }

    /// Number of regions, replicas in each, and servers of its pool `web`.
    #[must_use]
    pub fn regions(mut self, count: usize, replicas: usize, servers: usize) -> Self {
        self.regions = count;
        self.replicas = replicas;
        self.pool("web", servers)
    }

    /// Number of replicas of each region.
    #[must_use]
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// Changes each regional file before the start.
    #[must_use]
    pub fn tune_regional(
        mut self,
        change: impl Fn(&mut yaml::RegionalFile) + Send + Sync + 'static,
    ) -> Self {
        self.tune_regional.push(Arc::new(change));
        self
    }

    /// Changes each global file before the start.
    #[must_use]
    pub fn tune_global(
        mut self,
        change: impl Fn(&mut yaml::GlobalFile) + Send + Sync + 'static,
    ) -> Self {
        self.tune_global.push(Arc::new(change));
        self
    }

    /// Takes `regional-lb` and `global-lb` from this directory instead of the build's.
    #[must_use]
    pub fn programs(mut self, dir: &Path) -> Self {
        self.programs = Some(dir.to_path_buf());
        self
    }

    /// Gives each replica more arguments.
    #[must_use]
    pub fn arguments<S: Into<String>>(mut self, more: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(more.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of each replica's environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// Starts servers, regional replicas and global replicas, and waits until all are ready.
    ///
    /// # Errors
    ///
    /// When a binary is missing or a replica is not ready in time; the message holds its output.
    pub async fn start(mut self) -> Result<Platform> {
        if self.pools.is_empty() {
            self = self.pool("web", 3);
        }
        let dir = tempfile::Builder::new().prefix("strata-").tempdir()?;
        let mut regions = Vec::new();
        for number in 1..=self.regions {
            regions.push(self.start_region(&format!("r{number}"), &dir).await?);
        }
        let mut globals = Vec::new();
        for number in 1..=self.globals {
            let file = self.global_file(&format!("g{number}"), &regions)?;
            let made = Replica::new(
                Tier::Global,
                &file.name,
                file.listener,
                file.admin,
                dir.path(),
            );
            globals.push(self.launched(made, &file.render())?);
        }
        let mut platform = Platform {
            globals,
            regions,
            _strays: Strays::in_directory(dir.path()),
            dir,
        };
        platform.wait_ready().await?;
        Ok(platform)
    }

    fn launched(&self, made: Replica, config: &str) -> Result<Replica> {
        let made = made.with(&self.arguments, &self.environment);
        made.launched(config, self.programs.as_deref())
    }

    async fn start_region(&self, name: &str, dir: &TempDir) -> Result<Region> {
        let mut pools = Vec::new();
        let mut texts = Vec::new();
        for plan in &self.pools {
            let mut servers = Vec::new();
            for number in 1..=plan.servers {
                servers.push(Server::start(format!("{name}-{}-{number}", plan.name)).await?);
            }
            let ours = servers
                .iter()
                .map(|server| (server.name().to_owned(), server.address()));
            let outside = plan.external.iter().enumerate();
            let outside = outside.map(|(index, address)| (format!("s{}", index + 1), *address));
            let mut text = yaml::Pool::new(&plan.name, ours.chain(outside));
            text.extra = plan.extra.to_owned();
            texts.push(text);
            pools.push((plan.name.clone(), servers));
        }
        let mut replicas = Vec::new();
        for letter in ('a'..='z').take(self.replicas) {
            let file = self.regional_file(&format!("{name}-{letter}"), name, &texts)?;
            let made = Replica::new(
                Tier::Regional,
                &file.name,
                file.listener,
                file.admin,
                dir.path(),
            );
            replicas.push(self.launched(made, &file.render())?);
        }
        Ok(Region {
            name: name.to_owned(),
            replicas,
            pools,
        })
    }

    fn regional_file(
        &self,
        name: &str,
        region: &str,
        pools: &[yaml::Pool],
    ) -> Result<yaml::RegionalFile> {
        let route = |(index, pool): (usize, &yaml::Pool)| yaml::Route {
            name: pool.name.clone(),
            prefix: if index == 0 {
                "/".to_owned()
            } else {
                format!("/{}/", pool.name)
            },
            pool: pool.name.clone(),
            extra: String::new(),
        };
        let mut file = yaml::RegionalFile {
            name: name.to_owned(),
            region: region.to_owned(),
            listener: crate::ports::free()?,
            front: yaml::Front::default(),
            admin: crate::ports::free()?,
            more_routes: String::new(),
            routes: pools.iter().enumerate().map(route).collect(),
            pools: pools.to_vec(),
            extra: String::new(),
        };
        self.tune_regional
            .iter()
            .for_each(|change| change(&mut file));
        Ok(file)
    }

    fn global_file(&self, name: &str, regions: &[Region]) -> Result<yaml::GlobalFile> {
        let known = |region: &Region| yaml::Region {
            name: region.name.clone(),
            priority: 1,
            weight: 1,
            replicas: region
                .replicas
                .iter()
                .map(|replica| {
                    (
                        replica.name().to_owned(),
                        replica.address(),
                        replica.admin(),
                    )
                })
                .collect(),
            extra: String::new(),
        };
        let mut file = yaml::GlobalFile {
            name: name.to_owned(),
            listener: crate::ports::free()?,
            front: yaml::Front::default(),
            admin: crate::ports::free()?,
            route_extra: String::new(),
            more_routes: String::new(),
            policy: "priority".to_owned(),
            regions: regions.iter().map(known).collect(),
            extra: String::new(),
        };
        self.tune_global.iter().for_each(|change| change(&mut file));
        Ok(file)
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            globals,
            regions,
            replicas,
            pools,
            ..
        } = self;
        write!(
            f,
            "{globals} globals, {regions} regions of {replicas} replicas with {pools:?}"
        )
    }
}

// === impl Platform ===

impl Platform {
    /// Where users connect: each global replica, else each regional one.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        if self.globals.is_empty() {
            self.regions
                .iter()
                .flat_map(|r| &r.replicas)
                .map(Replica::address)
                .collect()
        } else {
            self.globals.iter().map(Replica::address).collect()
        }
    }

    /// The first of [`Platform::addresses`].
    ///
    /// # Errors
    ///
    /// When there is no replica.
    pub fn address(&self) -> Result<SocketAddr> {
        self.addresses().first().copied().context("no replica")
    }

    /// A load over all of [`Platform::addresses`].
    pub fn load(&self) -> Load {
        Load::across(self.addresses())
    }

    /// All scripted servers.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.regions.iter().flat_map(Region::servers)
    }

    /// The ledgers of all scripted servers, for [`crate::reconcile::reconcile`].
    pub fn ledgers(&self) -> Vec<&Ledger> {
        self.servers().map(Server::ledger).collect()
    }

    /// Requests that a closing kernel had taken and no server read: nobody may repeat their POSTs.
    pub fn ids_unread(&self) -> BTreeSet<String> {
        let ledgers = self.ledgers().into_iter();
        ledgers.flat_map(Ledger::ids_unread).collect()
    }

    /// A region by name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn region(&mut self, name: &str) -> Result<&mut Region> {
        self.regions
            .iter_mut()
            .find(|region| region.name == name)
            .context("no such region")
    }

    /// A replica of either tier by name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn replica(&mut self, name: &str) -> Result<&mut Replica> {
        match self.replicas().find(|replica| replica.name() == name) {
            Some(replica) => Ok(replica),
            None => bail!("no replica {name}"),
        }
    }

    /// All replicas, the regional ones first.
    pub fn replicas(&mut self) -> impl Iterator<Item = &mut Replica> {
        let regional = self
            .regions
            .iter_mut()
            .flat_map(|region| &mut region.replicas);
        regional.chain(&mut self.globals)
    }

    /// Waits until each replica is ready.
    ///
    /// # Errors
    ///
    /// When one is not in time.
    pub async fn wait_ready(&mut self) -> Result<()> {
        for replica in self.replicas() {
            replica.wait_ready().await?;
        }
        Ok(())
    }

    /// Directory of configuration and output files; it goes with the platform.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

// === impl Region ===

impl Region {
    /// Scripted servers of all its pools.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.pools.iter().flat_map(|(_, servers)| servers)
    }

    /// Kills each replica.
    pub fn kill_replicas(&mut self) {
        self.replicas.iter_mut().for_each(Replica::kill);
    }

    /// Freezes each replica.
    ///
    /// # Errors
    ///
    /// When one is not running.
    pub async fn freeze_replicas(&mut self) -> Result<()> {
        for replica in &mut self.replicas {
            replica.freeze().await?;
        }
        Ok(())
    }

    /// Lets each frozen replica go on.
    ///
    /// # Errors
    ///
    /// When one is not running.
    pub async fn thaw_replicas(&mut self) -> Result<()> {
        for replica in &mut self.replicas {
            replica.thaw().await?;
        }
        Ok(())
    }
}
