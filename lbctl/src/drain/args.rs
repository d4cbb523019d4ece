//! The orders on the command line.

use super::parse;
use clap::{Subcommand, ValueEnum};
use lb_core::config::scalar::DurationText;
use lb_core::drain::{Rule, SessionPolicy};
use lb_core::name::{PoolName, RegionName, ServerName};
use std::time::Duration;

/// Steer a region.
#[derive(Debug, Subcommand)]
pub(crate) enum RegionVerb {
    /// Send its requests elsewhere, step by step; what is in flight there ends in peace.
    Drain(Box<RegionDrain>),
    /// End the order on it: it comes back step by step.
    Undrain(Box<RegionUndrain>),
    /// Leave it a share of its requests.
    Dial(Box<RegionDial>),
    /// Turn it off: nothing goes there, whatever else fails.
    Offline(Box<RegionOffline>),
    /// List the orders in force, and those just over.
    Drains,
}

/// Steer a server.
#[derive(Debug, Subcommand)]
pub(crate) enum ServerVerb {
    /// Send its requests to the others of its pool; what is in flight there ends in peace.
    Drain(Box<ServerDrain>),
    /// End the order on it.
    Undrain(Box<ServerUndrain>),
    /// List the orders in force, and those just over.
    Drains,
}

/// `region drain`.
#[derive(Debug, clap::Args)]
pub(crate) struct RegionDrain {
    /// The region.
    #[arg(value_parser = parse::region)]
    pub(crate) region: RegionName,
    #[command(flatten)]
    pub(crate) drain: Drain,
}

/// `region undrain`.
#[derive(Debug, clap::Args)]
pub(crate) struct RegionUndrain {
    /// The region.
    #[arg(value_parser = parse::region)]
    pub(crate) region: RegionName,
    #[command(flatten)]
    pub(crate) undrain: Undrain,
}

/// `region dial`.
#[derive(Debug, clap::Args)]
pub(crate) struct RegionDial {
    /// The region.
    #[arg(value_parser = parse::region)]
    pub(crate) region: RegionName,
    /// Share of its requests that it keeps, 0% to 100%.
    #[arg(value_name = "N%", value_parser = parse::percent)]
    pub(crate) keep: u8,
    #[command(flatten)]
    pub(crate) ramp: Ramp,
    #[command(flatten)]
    pub(crate) why: Why,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `region offline`.
#[derive(Debug, clap::Args)]
pub(crate) struct RegionOffline {
    /// The region.
    #[arg(value_parser = parse::region)]
    pub(crate) region: RegionName,
    /// Don't ask; needed without a terminal.
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) why: Why,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `server drain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerDrain {
    /// The server.
    #[arg(value_name = "POOL/SERVER", value_parser = parse::server)]
    pub(crate) server: ServerRef,
    #[command(flatten)]
    pub(crate) drain: Drain,
}

/// `server undrain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerUndrain {
    /// The server.
    #[arg(value_name = "POOL/SERVER", value_parser = parse::server)]
    pub(crate) server: ServerRef,
    #[command(flatten)]
    pub(crate) undrain: Undrain,
}

/// A server and its pool.
#[derive(Debug, Clone)]
pub(crate) struct ServerRef {
    /// The pool.
    pub(crate) pool: PoolName,
    /// The server.
    pub(crate) server: ServerName,
}

/// What a drain says.
#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    /// Share of its requests that leaves, 1% to 100%. Default: all; servers take none.
    #[arg(long, value_name = "N%", value_parser = parse::share)]
    pub(crate) percent: Option<u8>,
    #[command(flatten)]
    pub(crate) ramp: Ramp,
    #[command(flatten)]
    pub(crate) why: Why,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What an undrain says.
#[derive(Debug, clap::Args)]
pub(crate) struct Undrain {
    /// Time until it has all of its requests again; 0s: at once. Default: a minute; servers take none.
    #[arg(long, value_name = "DURATION", value_parser = DurationText::parse)]
    pub(crate) over: Option<DurationText>,
    /// Why, for those who come later.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// How requests leave.
#[derive(Debug, clap::Args)]
pub(crate) struct Ramp {
    /// Time until then; 0s: at once. Default: a minute; servers take none.
    #[arg(long, value_name = "DURATION", value_parser = DurationText::parse)]
    pub(crate) over: Option<DurationText>,
    /// What happens to users who are bound to it by a cookie.
    #[arg(long, value_enum, default_value_t = Session::Migrate)]
    pub(crate) session: Session,
    /// How long bound users may stay, with --session honor. Default: 5m.
    #[arg(long, value_name = "DURATION", value_parser = DurationText::parse)]
    pub(crate) session_grace: Option<DurationText>,
}

/// What an order needs that takes something away.
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    /// Why, for those who come later.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub(crate) reason: Option<String>,
    /// When it ends by itself, up to 72h; or never. Default: 2h.
    #[arg(long, value_name = "DURATION|never", value_parser = parse::expires)]
    pub(crate) expires: Option<Expires>,
    /// Break this rule, by its name; several with commas.
    #[arg(
        long = "override",
        value_enum,
        value_delimiter = ',',
        value_name = "RULE"
    )]
    pub(crate) overrides: Vec<RuleArg>,
    /// Break all rules.
    #[arg(long)]
    pub(crate) force: bool,
}

/// What all orders have.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Where more is written, such as a ticket's number.
    #[arg(long)]
    pub(crate) ticket: Option<String>,
    /// Who orders it. Default: $SUDO_USER or $USER, @, and this machine's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Only show what would happen.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only when the order on it has this version; 0: there is none.
    #[arg(long, value_name = "N")]
    pub(crate) if_version: Option<u64>,
    #[command(flatten)]
    pub(crate) follow: Follow,
}

/// What to wait for.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Follow {
    /// Wait until so many replicas have the order.
    #[arg(
        long,
        value_enum,
        num_args = 0..=1,
        default_value = "majority",
        default_missing_value = "majority",
        value_name = "REPLICAS"
    )]
    pub(crate) wait: Wait,
    /// Wait until it is carried out at all replicas: drained, at its share, off, or back.
    #[arg(long, visible_alias = "wait-done")]
    pub(crate) wait_drained: bool,
    /// Time for the replicas to have the order.
    #[arg(long, value_name = "DURATION", value_parser = crate::args::duration, default_value = "30s")]
    pub(crate) timeout_wait: Duration,
    /// Time for --wait-drained. Default: the ramp, and ten minutes.
    #[arg(long, value_name = "DURATION", value_parser = crate::args::duration)]
    pub(crate) timeout_drained: Option<Duration>,
}

/// How many replicas must have an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// The one that took it.
    None,
    /// More than half.
    Majority,
    /// All, also those that are down.
    All,
}

/// What happens to bound users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Session {
    /// They go elsewhere, last of all.
    Migrate,
    /// They stay until the grace is over.
    Honor,
}

/// When an order ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expires {
    /// It doesn't.
    Never,
    /// After this time.
    After(DurationText),
}

/// A rule that may be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum RuleArg {
    /// A healthy region in service must be left.
    #[value(alias = "last-region")]
    LastRegion,
    /// A healthy server of the pool must be left.
    #[value(alias = "last-server")]
    LastServer,
    /// Those who take the requests must have room for them.
    #[value(alias = "over-capacity")]
    OverCapacity,
    /// What is known of the others must be fresh.
    #[value(alias = "stale-reports")]
    StaleReports,
}

// === impl RuleArg ===

impl From<RuleArg> for Rule {
    fn from(rule: RuleArg) -> Self {
        match rule {
            RuleArg::LastRegion => Self::LastRegion,
            RuleArg::LastServer => Self::LastServer,
            RuleArg::OverCapacity => Self::OverCapacity,
            RuleArg::StaleReports => Self::StaleReports,
        }
    }
}

// === impl Session ===

impl From<Session> for SessionPolicy {
    fn from(session: Session) -> Self {
        match session {
            Session::Migrate => Self::Migrate,
            Session::Honor => Self::Honor,
        }
    }
}

// === impl Wait ===

impl Wait {
    /// Whether `has` of `all` replicas are enough.
    pub(crate) const fn is_met(self, has: usize, all: usize) -> bool {
        match self {
            Self::None => true,
            Self::Majority => has * 2 > all,
            Self::All => has >= all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_can_be_named() {
        for rule in Rule::ALL {
            for name in [rule.as_str().to_owned(), rule.as_str().replace('_', "-")] {
                let named = RuleArg::from_str(&name, false).unwrap();
                assert_eq!(Rule::from(named), rule);
            }
        }
    }

    #[test]
    fn a_majority_is_more_than_half() {
        let met = |has, all| Wait::Majority.is_met(has, all);
        assert!(met(2, 3) && met(1, 1) && !met(1, 2) && !met(1, 3));
        assert!(Wait::None.is_met(0, 3) && Wait::All.is_met(3, 3) && !Wait::All.is_met(2, 3));
    }
}
