//! A listening socket's place in the process: whether it accepts, and how the hand-over gets at it.
//!
//! The accept loop owns the socket, so that it closes when the loop ends; the hand-over sees it through a weak reference and never
//! keeps it open by itself.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock, Weak};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Whether a socket's connections are accepted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// They wait, for another process or for this one.
    Shut,
    /// They are accepted.
    Open,
    /// This process is done with the socket.
    Released,
}

/// A socket's place.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The listener's name.
    pub(crate) name: String,
    /// Where it is bound.
    pub(crate) address: SocketAddr,
    gate: watch::Sender<Gate>,
    socket: OnceLock<Weak<TcpListener>>,
}

/// Waits for a gate.
#[derive(Debug)]
pub(crate) struct Watch(watch::Receiver<Gate>);

/// Keeps a socket open for as long as its descriptor is being sent.
pub(super) struct Lent(Arc<TcpListener>);

// === impl Slot ===

impl Slot {
    /// A place for a socket.
    pub(crate) fn new(name: &str, address: SocketAddr, gate: Gate) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            address,
            gate: watch::Sender::new(gate),
            socket: OnceLock::new(),
        })
    }

    /// Opens or shuts the gate. One that is released stays so.
    pub(crate) fn set(&self, gate: Gate) {
        self.gate.send_if_modified(|now| {
            let change = *now != gate && *now != Gate::Released;
            if change {
                *now = gate;
            }
            change
        });
    }

    /// Watches the gate.
    pub(crate) fn watch(&self) -> Watch {
        Watch(self.gate.subscribe())
    }

    /// Tells where the socket is.
    pub(crate) fn hold(&self, socket: &Arc<TcpListener>) {
        let _ = self.socket.set(Arc::downgrade(socket));
    }

    /// The socket, while its loop has it.
    pub(super) fn lend(&self) -> Option<Lent> {
        self.socket.get()?.upgrade().map(Lent)
    }
}

// === impl Watch ===

impl Watch {
    /// Waits until the gate is open; false when it never will be again. Cancel-safe.
    pub(crate) async fn opened(&mut self) -> bool {
        let moved = self.0.wait_for(|gate| *gate != Gate::Shut).await;
        moved.is_ok_and(|gate| *gate == Gate::Open)
    }

    /// Waits until the gate is no longer open. Cancel-safe.
    pub(crate) async fn left(&mut self) {
        let _ = self.0.wait_for(|gate| *gate != Gate::Open).await;
    }
}

impl AsFd for Lent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
