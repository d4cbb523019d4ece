//! Watches: an open answer with a line for each change.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::faults::Fault;
use super::select::Selector;
use super::status::Status;
use super::store::Resource;

/// How long a watch lasts that doesn't say.
const LONGEST: Duration = Duration::from_secs(1800);
/// How long before its end a watch is told how far it is.
const BEFORE_END: Duration = Duration::from_millis(200);
const HALF: &[u8] = br#"{"type":"MODIFIED","object":{"kind":"Config"#;

/// How streams end on command.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Cut {
    /// As the protocol has it.
    #[default]
    Between,
    /// In the middle of an object, with the connection.
    Middle,
}

/// A body of lines.
#[derive(Debug)]
pub(super) struct Lines(mpsc::Receiver<io::Result<Bytes>>);

/// What somebody follows.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) resource: Resource,
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
    /// The version it has; none: everything that is there comes first.
    pub(super) from: Option<u64>,
    pub(super) timeout: Option<Duration>,
    pub(super) bookmarks: bool,
    pub(super) fault: Option<Fault>,
}

/// Counts a watch for as long as it is open.
struct Counted(Arc<Shared>);

/// The stream is over.
struct Over;

// === impl Lines ===

impl Lines {
    pub(super) fn new() -> (mpsc::Sender<io::Result<Bytes>>, Self) {
        let (sender, receiver) = mpsc::channel(16);
        (sender, Self(receiver))
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0
            .poll_recv(cx)
            .map(|said| said.map(|data| data.map(Frame::data)))
    }
}

// === impl Watch ===

impl Watch {
    /// Says what happens until somebody ends it.
    pub(super) async fn run(self, shared: Arc<Shared>, to: mpsc::Sender<io::Result<Bytes>>) {
        let _counted = Counted::new(shared.clone());
        match self.fault {
            Some(Fault::EndAtOnce) => return,
            Some(Fault::Silent) => return to.closed().await,
            _ => {}
        }
        let ends = Instant::now() + self.timeout.unwrap_or(LONGEST);
        let (mut news, round, mut mark) = {
            let state = shared.state();
            (shared.news.subscribe(), state.round, state.mark)
        };
        let mut at = match self.begin(&shared, &to).await {
            Ok(at) => at,
            Err(Over) => return,
        };
        let mut is_told = !self.bookmarks || self.timeout.is_none();
        loop {
            let (events, reached, cut, marked) = self.look(&shared, at, round);
            for event in &events {
                if self.say(&to, event).await.is_err() {
                    return;
                }
            }
            match cut {
                Some(Cut::Between) => return,
                Some(Cut::Middle) => {
                    let _ = to.send(Ok(Bytes::from_static(HALF))).await;
                    let _ = to.send(Err(io::ErrorKind::ConnectionReset.into())).await;
                    return;
                }
                None => {}
            }
            let Some(reached) = reached else {
                // Too slow for what has been forgotten meanwhile.
                return;
            };
            at = reached;
            let is_marked = self.bookmarks && marked != mark;
            mark = marked;
            if is_marked && self.say(&to, &self.bookmark(at)).await.is_err() {
                return;
            }
            let next = if is_told { ends } else { ends - BEFORE_END };
            tokio::select! {
                _ = news.changed() => {}
                () = to.closed() => return,
                () = sleep_until(next) => {
                    if is_told {
                        return;
                    }
                    is_told = true;
                    if self.say(&to, &self.bookmark(at)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Where it begins, after what is there when it asks for that.
    async fn begin(
        &self,
        shared: &Shared,
        to: &mpsc::Sender<io::Result<Bytes>>,
    ) -> Result<u64, Over> {
        let (first, at) = {
            let state = shared.state();
            match self.from {
                Some(from)
                    if from < state.store.compacted()
                        || matches!(self.fault, Some(Fault::Expired)) =>
                {
                    let status = Status::expired(from, state.store.compacted());
                    (
                        vec![json!({ "type": "ERROR", "object": status.body() })],
                        None,
                    )
                }
                Some(from) => (Vec::new(), Some(from)),
                None => {
                    let all = state.store.all(&self.resource, self.namespace.as_deref());
                    let fit = all.into_iter().filter(|object| self.selector.fits(object));
                    let added = fit.map(|object| json!({ "type": "ADDED", "object": object }));
                    (added.collect(), Some(state.store.version()))
                }
            }
        };
        for event in &first {
            self.say(to, event).await?;
        }
        at.ok_or(Over)
    }

    /// What has happened, and how far that is: not at all when it is forgotten.
    fn look(
        &self,
        shared: &Shared,
        at: u64,
        round: u64,
    ) -> (Vec<Value>, Option<u64>, Option<Cut>, u64) {
        let state = shared.state();
        let cut = (state.round != round).then_some(state.cut);
        if at < state.store.compacted() {
            return (Vec::new(), None, cut, state.mark);
        }
        let is_mine = |namespace: &str| {
            self.namespace
                .as_deref()
                .is_none_or(|mine| mine == namespace)
        };
        let changes = state.store.since(at);
        let mine = changes
            .iter()
            .filter(|change| change.resource == self.resource && is_mine(&change.namespace));
        let events = mine
            .filter_map(|change| change.event(&self.selector))
            .collect();
        // Who begins in the future hears nothing until then.
        (events, Some(at.max(state.store.version())), cut, state.mark)
    }

    fn bookmark(&self, at: u64) -> Value {
        json!({ "type": "BOOKMARK", "object": {
            "kind": self.resource.kind,
            "apiVersion": self.resource.api_version(),
            "metadata": { "resourceVersion": at.to_string(), "creationTimestamp": null },
        }})
    }

    async fn say(&self, to: &mpsc::Sender<io::Result<Bytes>>, event: &Value) -> Result<(), Over> {
        let mut line = event.to_string();
        line.push('\n');
        if matches!(self.fault, Some(Fault::Truncated)) {
            line.truncate(line.len() / 2);
            let _ = to.send(Ok(line.into())).await;
            let _ = to.send(Err(io::ErrorKind::ConnectionReset.into())).await;
            return Err(Over);
        }
        if matches!(self.fault, Some(Fault::Garbage)) {
            line = "<html>gateway</html>\n".to_owned();
        }
        to.send(Ok(line.into())).await.map_err(|_gone| Over)
    }
}

// === impl Counted ===

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        shared.state().counts.watch(true);
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.state().counts.watch(false);
    }
}
