//! The stages of a process's life, and how tasks wait for them.

use std::sync::Arc;
use tokio::sync::watch;

/// A stage; they only go forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Binding, reading, probing.
    Starting,
    /// Serving.
    Serving,
    /// Lame duck: still accepting, while asking all to leave.
    Leaving,
    /// No new connections; old work finishes.
    Closing,
}

/// The stage of the process.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    stage: Arc<watch::Sender<Stage>>,
}

/// Waits for a stage.
#[derive(Debug)]
pub struct Reach {
    stage: Stage,
    watch: watch::Receiver<Stage>,
}

// === impl Lifecycle ===

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            stage: Arc::new(watch::Sender::new(Stage::Starting)),
        }
    }
}

impl Lifecycle {
    /// The stage now.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Goes on to `stage`; never back.
    pub fn advance(&self, stage: Stage) {
        self.stage.send_if_modified(|now| {
            let forward = stage > *now;
            if forward {
                *now = stage;
            }
            forward
        });
    }

    /// Whether clients are asked to leave.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.stage() >= Stage::Leaving
    }

    /// Waits until clients are asked to leave.
    #[must_use]
    pub fn leaving(&self) -> Reach {
        self.reach(Stage::Leaving)
    }

    /// Waits until no new connections are accepted.
    #[must_use]
    pub fn closing(&self) -> Reach {
        self.reach(Stage::Closing)
    }

    fn reach(&self, stage: Stage) -> Reach {
        Reach {
            stage,
            watch: self.stage.subscribe(),
        }
    }
}

// === impl Reach ===

impl Reach {
    /// Returns when the stage is reached; at once when it was. Cancel-safe.
    pub async fn reached(&mut self) {
        if self.watch.wait_for(|now| *now >= self.stage).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
