//! What a successor got, and which of its listeners each socket serves.

use super::message::{SocketHead, SocketKind};
use lb_core::config::model::Listener;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

/// Sockets that no listener has taken yet, and which were.
#[derive(Debug, Default)]
pub(crate) struct Inheritance {
    sockets: Vec<(SocketHead, TcpListener)>,
    taken: Vec<u32>,
}

/// The sockets of one listener; empty when it is new.
pub(crate) type Row = Vec<TcpListener>;

// === impl Inheritance ===

impl Inheritance {
    /// Checks that a descriptor is what it is said to be.
    pub(super) fn add(&mut self, head: SocketHead, descriptor: OwnedFd) -> io::Result<()> {
        let is_listening = rustix::net::sockopt::socket_acceptconn(&descriptor)?;
        let socket = TcpListener::from(descriptor);
        let address = socket.local_addr()?;
        if !is_listening || address != head.address {
            return Err(io::Error::other(format!(
                "the socket of {} {} is another one: {address}",
                head.name, head.address
            )));
        }
        socket.set_nonblocking(true)?;
        self.sockets.push((head, socket));
        Ok(())
    }

    /// Takes the sockets of a listener, in the order of the threads that had them. One that asks for any port takes those of its name.
    pub(crate) fn row(&mut self, listener: &Listener) -> Row {
        let mut row = self.take(|head| {
            let same_name = head.name == listener.name.as_str();
            head.kind == SocketKind::Listener && fits(head, listener.address, same_name)
        });
        row.sort_by_key(|(head, _)| head.column);
        row.into_iter().map(|(_, socket)| socket).collect()
    }

    /// Takes the admin listener.
    pub(crate) fn admin(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let taken = self.take(|head| head.kind == SocketKind::Admin && fits(head, address, true));
        taken.into_iter().next().map(|(_, socket)| socket)
    }

    /// Closes what nobody wants, of which the predecessor has the original; tells what was taken.
    pub(crate) fn finish(self) -> Vec<u32> {
        for (head, _) in &self.sockets {
            log::info!(
                "{} {} is not in this configuration: the process before serves it to its end",
                head.name,
                head.address
            );
        }
        self.taken
    }

    fn take(&mut self, wanted: impl Fn(&SocketHead) -> bool) -> Vec<(SocketHead, TcpListener)> {
        let (taken, left) = std::mem::take(&mut self.sockets)
            .into_iter()
            .partition::<Vec<_>, _>(|(head, _)| wanted(head));
        self.sockets = left;
        self.taken.extend(taken.iter().map(|(head, _)| head.id));
        taken
    }
}

fn fits(head: &SocketHead, wanted: SocketAddr, same_name: bool) -> bool {
    let any_port = wanted.port() == 0 && same_name && head.address.ip() == wanted.ip();
    head.address == wanted || any_port
}
