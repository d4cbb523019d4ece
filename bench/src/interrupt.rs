//! Ctrl-C, SIGTERM and SIGHUP as a flag that every wait and loop looks at.
//!
//! Problem: a benchmark starts up to three foreign programs, and whoever stops it half-way must not
//! find them still running. Killing them inside a signal handler would need a global list of
//! processes. Choice: the handler only raises a flag; every wait returns an error as soon as it is
//! up, and the error unwinds through the guards that own the processes (see `process`), so there is
//! one way out for success, failure and interruption. Limit: a SIGKILL runs no code here; for that
//! case each child asks the kernel for a SIGTERM when its parent dies.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

/// The error of a wait that was cut short by a signal.
#[derive(Debug)]
pub(crate) struct Interrupted;

/// A cloneable view of the flag.
#[derive(Clone, Default)]
pub(crate) struct Interrupt {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

// === impl Interrupted ===

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

// === impl Interrupt ===

impl Interrupt {
    /// Installs the handler. Fails when one is installed already.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let this = Self::default();
        let raised = this.clone();
        ctrlc::set_handler(move || raised.raise()).context("installing the signal handler")?;
        Ok(this)
    }

    /// An error once a signal has arrived.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        let (flag, _) = &*self.shared;
        if *flag.lock().unwrap_or_else(PoisonError::into_inner) {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }

    /// Waits for `duration`, or returns at once with an error when a signal arrives.
    pub(crate) fn wait(&self, duration: Duration) -> Result<(), Interrupted> {
        let (flag, changed) = &*self.shared;
        let raised = flag.lock().unwrap_or_else(PoisonError::into_inner);
        let (raised, _) = changed
            .wait_timeout_while(raised, duration, |raised| !*raised)
            .unwrap_or_else(PoisonError::into_inner);
        if *raised { Err(Interrupted) } else { Ok(()) }
    }

    fn raise(&self) {
        let (flag, changed) = &*self.shared;
        *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }
}
