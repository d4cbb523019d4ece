//! Whatever tells this process to end, and what must not end it by accident.
//!
//! A signal that nobody handles kills. SIGHUP is a reload and may come while the process starts (a supervisor, a script after a change of the
//! configuration), and SIGQUIT begins an upgrade in nginx and in Pingora: here a successor begins it, and without one there is
//! nothing to hand over. So both are taken before anything else is done.

use crate::process::Start;
use rustix::process::{Pid, test_kill_process};
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often it is looked whether a process is there.
const LOOK: Duration = Duration::from_millis(250);

/// Signals, and the end of whoever this process belongs to.
pub(crate) struct Signals {
    term: Signal,
    interrupt: Signal,
    orphaned: Pin<Box<dyn Future<Output = ()>>>,
}

/// Takes the signals that must not end the process. Needs an event loop, and holds for the process's life: SIGHUP is obeyed by whoever listens
/// to it later, and what comes before is read anyway.
///
/// # Errors
/// The system takes no handler.
pub(crate) fn shield() -> io::Result<()> {
    let _taken = signal(SignalKind::hangup())?;
    let mut quit = signal(SignalKind::quit())?;
    tokio::spawn(async move {
        while quit.recv().await.is_some() {
            log::warn!(
                "SIGQUIT is ignored: nobody waits to take over, and an upgrade begins with the successor (`lbctl upgrade`, or `run --upgrade`); \
                 to end this process, send SIGTERM"
            );
        }
    });
    Ok(())
}

// === impl Signals ===

impl Signals {
    pub(crate) fn new(start: &Start) -> io::Result<Self> {
        let (by_input, by_pid) = (start.exit_with_parent, start.exit_with_pid);
        let orphaned = async move {
            tokio::select! {
                () = input_ended(), if by_input => {}
                () = process_ended(by_pid) => {}
            }
            log::info!("the parent is gone");
        };
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            orphaned: Box::pin(orphaned),
        })
    }

    /// The next one; whether there is time for a lame duck.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.term.recv() => true,
            _ = self.interrupt.recv() => false,
            () = &mut self.orphaned => {
                self.orphaned = Box::pin(std::future::pending());
                false
            }
        }
    }
}

/// Returns when standard input ends: the parent holds its other end.
async fn input_ended() {
    use tokio::io::AsyncReadExt;
    let mut stdin = tokio::io::stdin();
    let mut byte = [0; 64];
    while stdin.read(&mut byte).await.is_ok_and(|count| count > 0) {}
}

/// Returns when a process ends, or when it is not there.
async fn process_ended(pid: Option<u32>) {
    let Some(pid) = pid else {
        return std::future::pending().await;
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else { return };
    while test_kill_process(pid).is_ok() {
        tokio::time::sleep(LOOK).await;
    }
}
