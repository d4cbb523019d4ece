//! `lbctl config check`: every fault of configuration files, without starting anything.
//!
//! The verdict on standard output, the faults with their snippets on standard error; as JSON both are
//! on standard output.

use crate::args::{Format, Options, TierArg};
use crate::failure::{Exit, Failure};
use crate::output;
use lb_core::config::read::{Faults, Layers};
use lb_core::config::{load_global, load_regional};
use lb_files::FileError;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Verdict {
    file: String,
    tier: TierArg,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    faults: Option<Faults>,
}

/// Checks `files`.
pub(crate) fn run(
    options: &Options,
    files: &[PathBuf],
    tier: Option<TierArg>,
) -> Result<(), Failure> {
    let verdicts = files
        .iter()
        .map(|file| check(file, tier))
        .collect::<Result<Vec<_>, _>>()?;
    let text = match options.output {
        Format::Json => output::json(&verdicts)?,
        Format::Yaml => output::yaml(&verdicts)?,
        Format::Name => output::lines(&invalid(&verdicts)),
        Format::Table | Format::Wide => told(&verdicts),
    };
    output::emit(&text)?;
    match invalid(&verdicts).len() {
        0 => Ok(()),
        count => {
            let message = format!("{count} of {} files invalid", verdicts.len());
            Err(Failure::new(Exit::Config, message))
        }
    }
}

fn check(path: &Path, tier: Option<TierArg>) -> Result<Verdict, Failure> {
    let file = path.display().to_string();
    let layers = match lb_files::read_with_environment(path) {
        Ok(layers) => Ok(layers),
        Err(FileError::Text(faults)) => Err(faults),
        Err(error) => return Err(Failure::new(Exit::Failed, format!("can't read {error}"))),
    };
    let known = tier.or_else(|| layers.as_ref().ok().and_then(guess));
    let Some(tier) = known else {
        let message = format!("can't tell which tier {file} is for");
        return Err(Failure::new(Exit::Usage, message).hint("add --tier regional or --tier global"));
    };
    let faults = layers.and_then(|layers| load(tier, &layers)).err();
    Ok(Verdict {
        file,
        tier,
        valid: faults.is_none(),
        faults,
    })
}

/// Loads `layers` as a configuration of `tier`, just as that tier does: what is valid here serves there.
fn load(tier: TierArg, layers: &Layers) -> Result<(), Faults> {
    match tier {
        TierArg::Regional => load_regional(layers).map(drop),
        TierArg::Global => load_global(layers).map(drop),
    }
}

/// The tier by the keys that only one of both has. Works on lines, so that a file with a fault can be told too.
fn guess(layers: &Layers) -> Option<TierArg> {
    let mut lines = layers.texts().flat_map(str::lines);
    lines.find_map(|line| match line.split(':').next() {
        Some("region" | "pools") => Some(TierArg::Regional),
        Some("regions") => Some(TierArg::Global),
        _ => None,
    })
}

fn told(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let file = &verdict.file;
        match &verdict.faults {
            None => text += &format!("● valid    {file}\n"),
            Some(faults) => {
                eprintln!("{faults}\n");
                text += &format!("✖ invalid  {file}  {} faults\n", faults.count());
            }
        }
    }
    text
}

fn invalid(verdicts: &[Verdict]) -> Vec<String> {
    verdicts
        .iter()
        .filter(|verdict| !verdict.valid)
        .map(|verdict| verdict.file.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_to_an_unknown_pool_is_a_fault() {
        let file = |pool: &str| {
            format!(
                "name: a
region: b
listeners: [{{ name: web, address: '127.0.0.1:8081' }}]
routes: [{{ name: all, pool: {pool} }}]
pools: [{{ name: app, servers: [{{ name: s, address: '127.0.0.1:9001' }}] }}]
"
            )
        };
        let load = |pool| load(TierArg::Regional, &Layers::one("lb.yaml", &file(pool)));
        assert!(load("app").is_ok());
        let faults = load("ap").unwrap_err().to_string();
        assert!(faults.contains("lb.yaml:4"), "{faults}");
    }

    #[test]
    fn the_tier_is_told_from_the_keys() {
        let guess = |text| guess(&Layers::one("lb.yaml", text));
        assert_eq!(guess("name: a\nregion: eu\n"), Some(TierArg::Regional));
        assert_eq!(
            guess("routes: [\nregions:\n  - name: eu\n"),
            Some(TierArg::Global)
        );
        assert_eq!(guess("routes:\n  - regions: {}\n"), None);
    }
}
