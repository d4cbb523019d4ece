//! From the text of a configuration to a value that the data plane can rely on.
//!
//! **Problem.** A schema judges each value by itself. What breaks at three in the morning is between
//! values: a route to a pool that was renamed, two listeners on one port, a probe that may take longer
//! than the time between two of them.
//!
//! **Choice.** After the structural reading ([`read`]), one pass of checks over the typed value, in
//! files that mirror the configuration's tree. Every check reports into one [`Report`], so that all
//! faults come at once, each at its place in the file, naming the object and what to write instead.
//! Where another module compiles a setting (routes, header edits, redirects), its own constructor is the
//! check, so what passes here cannot be refused there.
//!
//! **Fault or not.** Only what is certainly wrong is a fault, because a fault refuses the whole file:
//! what can't work, what contradicts itself, and what has been written down but can never have an
//! effect. A pool without routes, or an admin address open to the network, is the operator's business.
//!
//! **Limits.** Semantic checks run when the structure is sound; before that there is no value to check.
//! Files that a configuration names (certificates, authorities) are not opened here: this ring reads no files.

mod balance;
mod discover;
mod duplicates;
mod formats;
mod geo;
mod health;
mod limits;
mod listeners;
mod peers;
mod pools;
mod protect;
mod regions;
mod report;
mod routes;
mod shutdown;
mod state;
mod targets;
mod upstream;

#[cfg(test)]
mod tests;

pub use formats::formats;

use super::model::{Global, Regional};
use super::read::{Document, Faults, Layers, Path, read};
use report::Report;

/// Reads and checks a configuration of the regional tier.
///
/// # Errors
/// All faults that were found, by place.
pub fn load_regional(layers: &Layers) -> Result<Regional, Faults> {
    let (config, document) = read::<Regional>(layers, &formats())?;
    check_regional(&config, &document)?;
    Ok(config)
}

/// Reads and checks a configuration of the global tier.
///
/// # Errors
/// All faults that were found, by place.
pub fn load_global(layers: &Layers) -> Result<Global, Faults> {
    let (config, document) = read::<Global>(layers, &formats())?;
    check_global(&config, &document)?;
    Ok(config)
}

fn check_regional(config: &Regional, document: &Document) -> Result<(), Faults> {
    let root = Path::root();
    let mut report = Report::new(document);
    listeners::check(&mut report, &config.listeners, &config.admin);
    peers::check(&mut report, &config.peers);
    limits::check(&mut report, &config.limits, &root.key("limits"));
    limits::access_log(&mut report, &config.access_log, &root.key("access_log"));
    shutdown::check(&mut report, &config.shutdown, &root.key("shutdown"));
    state::check(&mut report, &config.state, &root.key("state"));
    routes::check(&mut report, &config.routes);
    targets::regional(&mut report, &config.routes, &config.pools);
    pools::check(&mut report, &config.pools, &config.listeners);
    report.finish()
}

fn check_global(config: &Global, document: &Document) -> Result<(), Faults> {
    let root = Path::root();
    let mut report = Report::new(document);
    listeners::check(&mut report, &config.listeners, &config.admin);
    peers::check(&mut report, &config.peers);
    limits::check(&mut report, &config.limits, &root.key("limits"));
    limits::access_log(&mut report, &config.access_log, &root.key("access_log"));
    shutdown::check(&mut report, &config.shutdown, &root.key("shutdown"));
    state::check(&mut report, &config.state, &root.key("state"));
    routes::check(&mut report, &config.routes);
    targets::global(&mut report, &config.routes, &config.regions);
    geo::check(&mut report, config);
    regions::check(&mut report, &config.regions, &config.listeners);
    regions::failover(&mut report, config);
    report.finish()
}
