//! What is shown while an upgrade goes on: a line for each step, and a bar for the drain where there is a terminal.

use lb_core::status::Handover;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

/// Width of the bar.
const WIDTH: usize = 30;

/// Writes to standard error.
#[derive(Debug)]
pub(super) struct Steps {
    quiet: bool,
    terminal: bool,
    drawn: bool,
    last: String,
    most: u64,
}

// === impl Steps ===

impl Steps {
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            terminal: stderr().is_terminal(),
            drawn: false,
            last: String::new(),
            most: 0,
        }
    }

    /// A step is over.
    pub(super) fn done(&mut self, text: &str) {
        self.line(&format!("- {text}"));
    }

    /// Something is waited for: told when it changes.
    pub(super) fn waits(&mut self, text: &str) {
        if self.last != text {
            text.clone_into(&mut self.last);
            self.line(&format!("  {text}"));
        }
    }

    /// How far a drain is.
    pub(super) fn drain(&mut self, state: &Handover) {
        self.most = self.most.max(state.inflight);
        let text = progress(state, self.most, self.terminal);
        if self.quiet || self.last == text {
            return;
        }
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K  {text}");
            let _ = stderr().flush();
            self.drawn = true;
        } else {
            eprintln!("  {text}");
        }
        self.last = text;
    }

    fn line(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        if std::mem::take(&mut self.drawn) {
            eprintln!();
        }
        eprintln!("{text}");
    }
}

fn progress(state: &Handover, most: u64, bar: bool) -> String {
    let streams = match state.streams {
        0 => String::new(),
        streams => format!(", {streams} of them streams"),
    };
    let counts = format!("{} requests in flight{streams}", state.inflight);
    if !bar {
        // Without the time, so that a log gets a line for each change and not for each look.
        return counts;
    }
    let left = Duration::from_millis(state.ends_in_ms.unwrap_or_default()).as_secs();
    let gone = most.saturating_sub(state.inflight);
    let done = usize::try_from(gone).unwrap_or(0) * WIDTH;
    let done = done
        .checked_div(usize::try_from(most).unwrap_or(1))
        .unwrap_or(WIDTH)
        .min(WIDTH);
    let bar = format!("{}{}", "#".repeat(done), "-".repeat(WIDTH - done));
    format!("[{bar}] {counts}, at most {left} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_as_requests_end() {
        let state = |inflight| Handover {
            inflight,
            streams: 1,
            ends_in_ms: Some(9_000),
            ..Handover::default()
        };
        let text = progress(&state(5), 10, true);
        let half = format!("[{}{}]", "#".repeat(15), "-".repeat(15));
        assert!(text.starts_with(&half), "{text}");
        assert!(text.ends_with("5 requests in flight, 1 of them streams, at most 9 s left"));
        assert!(progress(&state(0), 0, true).starts_with(&format!("[{}]", "#".repeat(30))));
        assert_eq!(
            progress(&state(0), 3, false),
            "0 requests in flight, 1 of them streams"
        );
    }
}
