//! Requests that are cut off at the end of the process.
//!
//! The exit would close their connections just as well, but nobody would hear of them: what is cut leaves a line in the access log
//! and a count, so each has to be told before. One notice for each event loop, so that no request waits for another loop's lock; a
//! request registers once, at its first pause, and not with each poll.

use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::sync::Notify;

/// Tells an event loop's requests that they are cut off.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    notice: Notify,
}

// === impl Cut ===

impl Cut {
    /// Tells all that wait now.
    pub(crate) fn tell(&self) {
        self.notice.notify_waiters();
    }

    /// Does `work`; none when it was cut off, which `is_cut` tells: it has to be true before [`Self::tell`], and may become false again
    /// when the process serves again. To be awaited in one task.
    pub(crate) async fn unless<T>(
        &self,
        is_cut: impl Fn() -> bool,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let mut notice = pin!(self.notice.notified());
        let mut is_registered = false;
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            if !is_registered {
                is_registered = true;
                let _ = notice.as_mut().poll(context);
            }
            if is_cut() {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::{Lifecycle, Stage};
    use std::sync::Arc;

    #[tokio::test]
    async fn only_what_is_under_way_at_the_end_is_cut() {
        let (cut, lifecycle) = (Arc::new(Cut::default()), Lifecycle::default());
        let is_cut = || lifecycle.is_ending();
        assert_eq!(cut.unless(is_cut, pin!(async { 1 })).await, Some(1));
        let (held, begun) = (cut.clone(), Arc::new(Notify::new()));
        let (told, stage) = (begun.clone(), lifecycle.clone());
        let task = tokio::spawn(async move {
            let endless = async {
                told.notify_one();
                std::future::pending::<()>().await;
            };
            held.unless(|| stage.is_ending(), pin!(endless)).await
        });
        begun.notified().await;
        lifecycle.advance(Stage::Ending);
        cut.tell();
        assert_eq!(task.await.unwrap(), None);
        let mut late = pin!(std::future::pending::<()>());
        let late = cut.unless(is_cut, late.as_mut()).await;
        assert_eq!(late, None, "one that begins after it");
        lifecycle.resume();
        let work = tokio::task::yield_now();
        assert_eq!(
            cut.unless(is_cut, pin!(work)).await,
            Some(()),
            "it serves again"
        );
    }
}
