//! What systemd is told: the protocol of sd_notify(3), datagrams at the socket that `NOTIFY_SOCKET` names.
//!
//! The predecessor gives the main pid away, and not the successor: systemd ends a unit when its main process does, so the pid must belong
//! to the successor before the predecessor exits, and to the predecessor as long as the successor is on probation. A barrier
//! (systemd 246 and later) holds the predecessor until systemd has read the message.
//!
//! Written here and not taken from a crate: it is one datagram, and the barrier needs a descriptor beside it.

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How long systemd may take to read what it was sent.
const BARRIER: Duration = Duration::from_secs(5);

/// Who started this process, if it wants to be told of its life.
#[derive(Debug, Clone)]
pub(crate) struct Supervisor {
    socket: Option<OsString>,
}

// === impl Supervisor ===

impl Supervisor {
    /// The supervisor of this process.
    pub(crate) fn from_env() -> Self {
        Self::at(std::env::var_os("NOTIFY_SOCKET"))
    }

    /// The one at a socket; a name that starts with `@` is abstract.
    pub(crate) fn at(socket: Option<OsString>) -> Self {
        Self {
            socket: socket.filter(|name| !name.is_empty()),
        }
    }

    /// Whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// The process serves.
    pub(crate) fn ready(&self) {
        self.tell("READY=1\nSTATUS=serving");
    }

    /// The process leaves.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=leaving");
    }

    /// What a person sees in `systemctl status`.
    pub(crate) fn status(&self, text: &str) {
        self.tell(&format!("STATUS={text}"));
    }

    /// The process is alive. Never waits: a supervisor that doesn't read must not stop whoever tells it so.
    pub(crate) fn alive(&self) {
        let told = self.connect().and_then(|socket| match socket {
            Some(socket) => {
                socket.set_nonblocking(true)?;
                socket.send(b"WATCHDOG=1").map(drop)
            }
            None => Ok(()),
        });
        if let Err(error) = told {
            log::warn!("systemd's watchdog can't be fed: {error}");
        }
    }

    /// Another process is the service from now on. Returns when the supervisor has read it.
    pub(crate) async fn main_pid(&self, pid: u32) {
        if !self.is_there() {
            return;
        }
        self.tell(&format!("MAINPID={pid}\nSTATUS=serving"));
        match tokio::time::timeout(BARRIER, self.barrier()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::warn!("systemd: no barrier: {error}"),
            Err(_) => log::warn!("systemd has not read the new main pid within {BARRIER:?}"),
        }
    }

    fn tell(&self, text: &str) {
        let told = self.connect().and_then(|socket| match socket {
            Some(socket) => socket.send(text.as_bytes()).map(drop),
            None => Ok(()),
        });
        if let Err(error) = told {
            log::warn!("systemd can't be told {text:?}: {error}");
        }
    }

    /// Returns when everything that was told before has been read: the other end of a pipe goes along and is closed.
    async fn barrier(&self) -> io::Result<()> {
        let Some(socket) = self.connect()? else {
            return Ok(());
        };
        let (reader, writer) = io::pipe()?;
        {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors = [writer.as_fd()];
            if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
                return Err(io::Error::other("no room for a descriptor"));
            }
            let text = [IoSlice::new(b"BARRIER=1")];
            rustix::net::sendmsg(&socket, &text, &mut control, SendFlags::NOSIGNAL)?;
        }
        drop(writer);
        let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        loop {
            reader.readable().await?;
            match reader.try_read(&mut [0; 16]) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    fn connect(&self) -> io::Result<Option<UnixDatagram>> {
        let Some(name) = &self.socket else {
            return Ok(None);
        };
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        Ok(Some(socket))
    }
}
