//! Fills a configuration template.
//!
//! Templates are read when the program runs, so a configuration can be tried without a build. They
//! use Jinja syntax (minijinja), because lists of servers need a loop; an unknown variable is an
//! error, as a silently empty setting would falsify the comparison.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

/// An address in the three forms that configurations want.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Address {
    address: String,
    ip: String,
    port: u16,
}

/// Something that a proxy sends requests to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Upstream {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) at: Address,
    /// Where it reports its state, if it is one of our programs.
    pub(super) admin: Option<Address>,
}

/// Everything that a template can use.
#[derive(Debug, Serialize)]
pub(super) struct Settings<'a> {
    /// The tier's name, also the `Via` pseudonym.
    pub(super) name: String,
    pub(super) listen: Address,
    pub(super) admin: Address,
    pub(super) servers: &'a [Upstream],
    pub(super) threads: usize,
    /// `per_core`, `work_stealing`, or empty for the default.
    pub(super) threading: &'a str,
    /// Limit of open files.
    pub(super) open_files: u64,
    /// A directory of its own for the process.
    pub(super) directory: String,
    /// Whether we run as the superuser.
    pub(super) superuser: bool,
    /// Leave out the protections and header edits, for a look at the bare proxy.
    pub(super) bare: bool,
    /// Whether ours has the protections that its configuration can switch off.
    pub(super) is_protected: bool,
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
pub(super) fn fill(template: &Path, settings: &Settings<'_>, output: &Path) -> anyhow::Result<()> {
    let source = fs::read_to_string(template)
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
    fs::write(output, text).with_context(|| format!("writing {}", output.display()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// `template` as it would be started.
    fn filled(template: &Path, bare: bool, is_protected: bool) -> String {
        let at: Address = SocketAddr::from(([127, 0, 0, 1], 9001)).into();
        let servers = [Upstream {
            name: "s1".to_owned(),
            at: at.clone(),
            admin: Some(at.clone()),
        }];
        let settings = Settings {
            name: "r1-a".to_owned(),
            listen: at.clone(),
            admin: at,
            servers: &servers,
            threads: 1,
            threading: "",
            open_files: 1024,
            directory: "/tmp".to_owned(),
            superuser: false,
            bare,
            is_protected,
        };
        let thread = std::thread::current().id();
        let name = format!("strata-bench-{}-{thread:?}", std::process::id());
        let output = std::env::temp_dir().join(name);
        fill(template, &settings, &output).unwrap();
        let text = fs::read_to_string(&output).unwrap();
        fs::remove_file(output).unwrap();
        text
    }

    fn peers() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
    }

    #[test]
    fn every_template_can_be_filled_in_both_forms() {
        let mut seen = 0;
        for entry in fs::read_dir(peers()).unwrap() {
            for bare in [false, true] {
                let text = filled(&entry.as_ref().unwrap().path(), bare, true);
                assert!(text.contains("9001"));
                seen += 1;
            }
        }
        assert_eq!(seen, 10, "five templates were expected");
    }

    #[test]
    fn only_ours_differ_without_protections() {
        for entry in fs::read_dir(peers()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            let is_ours = name.starts_with("strata-");
            let differs = filled(&path, false, true) != filled(&path, false, false);
            assert_eq!(differs, is_ours, "{}", path.display());
        }
    }
}
