//! What a tier's program has to say; the rest is shared.

use crate::build::{Site, Targets};
use crate::plan::Tier;
use lb_core::config::change::Deferred;
use lb_core::config::model;
use lb_core::config::read::{Faults, Layers};
use lb_core::name::{RegionName, ReplicaName};

/// The parts of a configuration that both tiers have.
#[derive(Debug, Clone, Copy)]
pub struct Common<'a> {
    /// The replica's name.
    pub name: &'a ReplicaName,
    /// The region, on the regional tier.
    pub region: Option<&'a RegionName>,
    /// Threads that serve; 0 is one a core.
    pub threads: usize,
    /// How connections are spread over them.
    pub threading: model::Threading,
    /// Where requests come in.
    pub listeners: &'a [model::Listener],
    /// Where operators come in.
    pub admin: &'a model::Admin,
    /// Admin addresses of the sister replicas.
    pub peers: &'a [String],
    /// Whose forwarding headers are believed.
    pub trusted_proxies: &'a [model::Cidr],
    /// Limits against clients.
    pub limits: &'a model::Limits,
    /// How the process leaves.
    pub shutdown: &'a model::Shutdown,
    /// Where an upgrade is handed over.
    pub run_directory: Option<&'a std::path::Path>,
    /// Where orders are kept.
    pub state: &'a model::State,
    /// The access log.
    pub access_log: &'a model::AccessLog,
    /// Which requests go where.
    pub routes: &'a [model::Route],
}

/// A tier: its configuration, and what its routes lead to.
pub trait TierProgram: Send + Sync + 'static {
    /// The configuration's type.
    type Config: Clone + Send + Sync + 'static;

    /// Which tier it is.
    const TIER: Tier;

    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// Every fault, each with its place.
    fn load(layers: &Layers) -> Result<Self::Config, Faults>;

    /// The parts that both tiers have.
    fn common(config: &Self::Config) -> Common<'_>;

    /// What can't be changed while serving stays as it is in `old`, and is named.
    fn carry_over(old: &Self::Config, new: Self::Config) -> (Self::Config, Vec<Deferred>);

    /// Builds pools or regions, and how each route leads to them.
    ///
    /// # Errors
    /// A reason that names the object, when a file that it needs can't be used.
    fn targets(config: &Self::Config, site: &Site) -> Result<Targets, String>;
}
