//! How it goes, on standard error: one line that changes on a terminal, else a line whenever something worth a line has happened.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tokio::time::Instant;

/// Without a terminal, the same news are told again after this time.
const AGAIN: Duration = Duration::from_secs(10);

/// Tells how it goes.
#[derive(Debug)]
pub(crate) struct Progress<W> {
    out: W,
    style: Style,
    last: Option<(String, Instant)>,
}

/// How it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Not at all.
    Quiet,
    /// Lines.
    Plain,
    /// One line that changes.
    Live,
}

// === impl Progress ===

impl Progress<io::Stderr> {
    /// On standard error.
    pub(crate) fn stderr(quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let style = match io::stderr().is_terminal() && !dumb {
            _ if quiet => Style::Quiet,
            true => Style::Live,
            false => Style::Plain,
        };
        Self::new(io::stderr(), style)
    }
}

impl<W: Write> Progress<W> {
    /// On `out`.
    pub(crate) const fn new(out: W, style: Style) -> Self {
        let last = None;
        Self { out, style, last }
    }

    /// Shows `news`, which are worth a line, and `rest`, which changes all the time.
    pub(crate) fn show(&mut self, news: &str, rest: &str) {
        let line = if rest.is_empty() {
            news.to_owned()
        } else {
            format!("{news}  {rest}")
        };
        let now = Instant::now();
        let is_told = self
            .last
            .as_ref()
            .is_some_and(|(last, at)| last == news && now.duration_since(*at) < AGAIN);
        // A standard error that has gone is no reason to fail.
        let _ = match self.style {
            Style::Quiet => Ok(()),
            Style::Plain if is_told => return,
            Style::Plain => writeln!(self.out, "{line}"),
            // Without wrapping, so that going back to the start of the line is enough to write it anew.
            Style::Live => write!(self.out, "\r\x1b[2K\x1b[?7l{line}\x1b[?7h"),
        };
        let _ = self.out.flush();
        self.last = Some((news.to_owned(), now));
    }

    /// The last line stays.
    pub(crate) fn end(&mut self) {
        if self.style == Style::Live && self.last.take().is_some() {
            let _ = writeln!(self.out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(style: Style) -> String {
        let mut progress = Progress::new(Vec::new(), style);
        progress.show("ramping", "share 60%");
        progress.show("ramping", "share 50%");
        progress.show("drained", "");
        progress.end();
        String::from_utf8(progress.out).unwrap()
    }

    #[test]
    fn a_log_gets_a_line_for_each_news() {
        assert_eq!(told(Style::Plain), "ramping  share 60%\ndrained\n");
        assert_eq!(told(Style::Quiet), "");
    }

    #[test]
    fn a_terminal_gets_one_line_that_changes() {
        let told = told(Style::Live);
        assert!(told.contains("share 50%") && told.ends_with("drained\x1b[?7h\n"));
        assert_eq!(told.matches('\n').count(), 1);
    }
}
