//! Asks a person before something that can't be half done.

use super::plan::Plan;
use crate::failure::{Exit, Failure};
use std::io::{BufRead, Write};

/// Goes on only when the person types what it is about.
pub(crate) fn confirm(
    plan: &Plan,
    is_terminal: bool,
    mut input: impl BufRead,
    mut out: impl Write,
) -> Result<(), Failure> {
    let scope = plan.scope.to_string();
    let name = scope.split_once('/').map_or("", |(_, name)| name);
    if !is_terminal {
        let message = format!("turning {name} off needs a yes, and there is no terminal to ask at");
        return Err(Failure::new(Exit::Usage, message).hint("add --yes"));
    }
    // Whoever can't read the question can't answer it either.
    let _ = write!(
        out,
        "{name} gets no request at all, even when nothing else is left. Type {name} to turn it off: "
    );
    let _ = out.flush();
    let mut answer = String::new();
    let read = input.read_line(&mut answer);
    if read.is_ok() && answer.trim() == name {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        "not turned off: the answer was not its name",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Verb};
    use clap::Parser;

    fn asked(is_terminal: bool, typed: &str) -> Result<(), Exit> {
        let line = "lbctl region offline eu --reason fire --actor ada";
        let Verb::Region { verb } = Args::parse_from(line.split(' ')).verb else {
            panic!("a verb of regions");
        };
        let plan = Plan::region(verb).unwrap().unwrap();
        assert!(plan.confirm);
        confirm(&plan, is_terminal, typed.as_bytes(), Vec::new()).map_err(|failure| failure.exit)
    }

    #[test]
    fn only_its_name_turns_it_off() {
        assert_eq!(asked(true, "eu\n"), Ok(()));
        for typed in ["", "y\n", "yes\n", "us\n"] {
            assert_eq!(asked(true, typed), Err(Exit::Failed), "{typed}");
        }
        assert_eq!(asked(false, "eu\n"), Err(Exit::Usage));
    }
}
