//! Fills configuration templates (Jinja syntax, as in `bench/`); an unknown variable is an error.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::control::Off;
use crate::plan::Order;

/// An address in the forms that configurations want.
#[derive(Debug, Clone, Serialize)]
pub struct Address {
    address: String,
    ip: String,
    port: u16,
}

/// A server, or a regional replica as the global tier knows it.
#[derive(Debug, Clone, Serialize)]
pub struct Upstream {
    /// Name.
    pub name: String,
    /// Where it serves.
    pub at: Address,
    /// Where it tells its state.
    pub admin: Address,
}

/// A region, as the global tier knows it.
#[derive(Debug, Clone, Serialize)]
pub struct Region {
    /// Name.
    pub name: String,
    /// Rank in the priority order, from 0.
    pub priority: usize,
    /// Its replicas.
    pub replicas: Vec<Upstream>,
}

/// What everybody is told of the servers' capacity, in the scenarios in which it is told.
#[derive(Debug, Clone, Serialize)]
pub struct Capacity {
    /// Requests per second of a region.
    pub region_rps: u64,
    /// Requests under way that one replica may have at one server.
    pub server_in_flight: usize,
    /// The same, at all servers of its region.
    pub replica_in_flight: usize,
}

/// Everything that a template can use.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// Name of the process.
    pub name: String,
    /// Name of its region; empty in the global tier.
    pub region: String,
    /// Where it serves.
    pub listen: Address,
    /// Where it tells its state.
    pub admin: Address,
    /// Order of the regions.
    pub order: Order,
    /// Regions, for the global tier.
    pub regions: Vec<Region>,
    /// Servers, for a regional tier.
    pub servers: Vec<Upstream>,
    /// Length of slow start in seconds; 0 leaves the contender's default.
    pub slow_start_s: u64,
    /// Whether limits are to be found from latency, where that is not the default.
    pub adaptive: bool,
    /// Requests that a regional replica has under way in the quiet part of the scenario.
    pub quiet_in_flight: u64,
    /// Known capacity.
    pub capacity: Option<Capacity>,
    /// Mechanisms that are off; `off.KEY` is true or false.
    pub off: Off,
}

// === impl Address ===

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self {
            address: address.to_string(),
            ip: address.ip().to_string(),
            port: address.port(),
        }
    }
}

/// Writes `template`, filled with `settings`, to `output`.
///
/// # Errors
///
/// When a file can't be read or written, or the template uses what is not there.
pub fn fill(template: &Path, settings: &Settings, output: &Path) -> Result<()> {
    let source = std::fs::read_to_string(template)
        .with_context(|| format!("reading the template {}", template.display()))?;
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    syntax
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true);
    environment.set_syntax(syntax.build()?);
    let text = environment
        .render_str(&source, Serde(settings))
        .with_context(|| format!("filling the template {}", template.display()))?;
    std::fs::write(output, text).with_context(|| format!("writing {}", output.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::{Contender, Tier};
    use crate::control::Mechanism;
    use crate::scenario::Scenario;

    fn settings() -> Settings {
        let at: Address = SocketAddr::from(([127, 0, 0, 1], 9001)).into();
        let upstream = Upstream {
            name: "r1-a".to_owned(),
            at: at.clone(),
            admin: at.clone(),
        };
        Settings {
            name: "one".to_owned(),
            region: "r1".to_owned(),
            listen: at.clone(),
            admin: at,
            order: Order::Priority,
            regions: vec![Region {
                name: "r1".to_owned(),
                priority: 0,
                replicas: vec![upstream.clone()],
            }],
            servers: vec![upstream],
            slow_start_s: 0,
            adaptive: false,
            quiet_in_flight: 6,
            capacity: None,
            off: Off::default(),
        }
    }

    fn full() -> Settings {
        Settings {
            order: Order::Even,
            slow_start_s: 10,
            adaptive: true,
            capacity: Some(Capacity {
                region_rps: 80,
                server_in_flight: 2,
                replica_in_flight: 4,
            }),
            ..settings()
        }
    }

    /// The configuration of a tier as it would be started.
    fn filled(contender: Contender, tier: Tier, settings: &Settings) -> String {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("filled");
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        fill(&peers.join(contender.template(tier)), settings, &output).unwrap();
        std::fs::read_to_string(&output).unwrap()
    }

    #[test]
    fn every_template_can_be_filled_in_each_form() {
        for (contender, tier) in Contender::ALL
            .into_iter()
            .flat_map(|c| [(c, Tier::Global), (c, Tier::Regional)])
        {
            for settings in [settings(), full()] {
                let text = filled(contender, tier, &settings);
                assert!(
                    text.contains("9001"),
                    "{contender:?} {tier:?} lost an address"
                );
            }
        }
    }

    #[test]
    fn each_mechanism_that_a_control_names_changes_what_is_started() {
        let texts = |off: Vec<Mechanism>| {
            let settings = Settings {
                off: Off(off.leak()),
                ..full()
            };
            [Tier::Global, Tier::Regional].map(|tier| filled(Contender::Control, tier, &settings))
        };
        for scenario in Scenario::ALL {
            let Off(all) = scenario.control();
            for one in all {
                let others = all.iter().copied().filter(|m| m != one).collect();
                assert_ne!(
                    texts(all.to_vec()),
                    texts(others),
                    "{scenario:?}: {one:?} is named and not switched off"
                );
            }
        }
    }
}
