//! What went wrong at an API server, in words that say what to do.

use kube::core::Status;
use std::time::Duration;

/// Longest text of an API server that is repeated, in characters: a proxy's may be a page.
const MOST_TEXT: usize = 300;
/// Longest wait that an API server may ask for.
const MOST_WAIT: Duration = Duration::from_secs(60);

/// Something that didn't work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Fault {
    kind: Kind,
    text: String,
    wait: Duration,
}

/// What that means for who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is no such object (404).
    Missing,
    /// There is one already, or it is not the one that was read (409).
    Conflict,
    /// What was asked for is too old: read everything again (410).
    Gone,
    /// It is not allowed (401, 403).
    Denied,
    /// No answer, or none that helps: perhaps later.
    Away,
}

// === impl Fault ===

impl Fault {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            kind: Kind::Away,
            text: text.into(),
            wait: Duration::ZERO,
        }
    }

    /// The same, with more to say about it.
    pub(crate) fn with(mut self, more: &str) -> Self {
        self.text = format!("{}; {more}", self.text);
        self
    }

    /// The same, with a longer wait if it is less than that.
    pub(crate) fn at_least(mut self, wait: Duration) -> Self {
        self.wait = self.wait.max(wait).min(MOST_WAIT);
        self
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// How long the API server asks to be left alone, at most a minute.
    pub(crate) const fn wait(&self) -> Duration {
        self.wait
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        let said = short(&status.message);
        let (kind, text) = match status.code {
            401 => (
                Kind::Denied,
                "the API server does not take this replica's token (401): it has run out, or is another API server's".to_owned(),
            ),
            // Its message names the account, the verb, the resource and the namespace.
            403 => (
                Kind::Denied,
                format!("{said} (403): give that account a Role with this verb"),
            ),
            404 => (Kind::Missing, format!("{said} (404)")),
            409 => (Kind::Conflict, format!("{said} (409)")),
            410 => (Kind::Gone, format!("{said} (410)")),
            code => (Kind::Away, format!("the API server says {code}: {said}")),
        };
        let seconds = status.details.map_or(0, |more| more.retry_after_seconds);
        Self {
            kind,
            text,
            wait: Duration::from_secs(seconds.into()).min(MOST_WAIT),
        }
    }
}

impl From<kube::Error> for Fault {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from(*status),
            kube::Error::SerdeError(error) => {
                Self::new(format!("the API server's answer can't be read: {error}"))
            }
            error => Self::new(chain(&error)),
        }
    }
}

/// An error with what it comes from: the libraries' outer ones say nothing by themselves.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(error) = inner {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        inner = error.source();
    }
    short(&text)
}

fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(MOST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_to_do_and_how_long_to_wait() {
        let fault =
            |code: u16, message: &str| Fault::from(Status::failure(message, "").with_code(code));
        let denied = fault(
            403,
            "configmaps is forbidden: User \"x\" cannot list resource",
        );
        assert_eq!(denied.kind(), Kind::Denied);
        assert!(
            denied.to_string().contains("give that account a Role"),
            "{denied}"
        );
        let kinds = [404, 409, 410, 500].map(|code| fault(code, "m").kind());
        assert_eq!(
            kinds,
            [Kind::Missing, Kind::Conflict, Kind::Gone, Kind::Away]
        );
        let page = fault(502, &"<p> words\n</p> ".repeat(1000)).to_string();
        assert!(page.len() < 400 && !page.contains('\n'), "{page}");
        let busy = serde_json::json!({ "code": 429, "details": { "retryAfterSeconds": 3600 } });
        let busy: Status = serde_json::from_value(busy).unwrap();
        let busy = Fault::from(busy);
        assert_eq!(busy.wait(), MOST_WAIT);
    }
}
