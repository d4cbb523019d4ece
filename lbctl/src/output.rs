//! Standard output: the only place that writes to it.

use crate::args::Format;
use crate::failure::{Exit, Failure};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// How tables are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// All columns.
    pub(crate) wide: bool,
    /// States in colour, beside their shape.
    pub(crate) colour: bool,
}

// === impl View ===

impl View {
    /// The view for `format` on this standard output. `NO_COLOR` (any value), `TERM=dumb` and a pipe switch colour off.
    pub(crate) fn detect(format: Format) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            wide: format == Format::Wide,
            colour: io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
        }
    }
}

/// Writes `text`. A reader that has gone is no error: it has what it wanted.
pub(crate) fn emit(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(
            Exit::Failed,
            format!("can't write to standard output: {error}"),
        )),
    }
}

/// `value` as JSON for people who read it: indented.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| Failure::new(Exit::Failed, format!("can't write JSON: {error}")))
}

/// `value` as YAML.
pub(crate) fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    serde_yaml::to_string(value)
        .map_err(|error| Failure::new(Exit::Failed, format!("can't write YAML: {error}")))
}

/// Names, one a line.
pub(crate) fn lines(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
}
