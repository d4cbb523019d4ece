//! Messages with file descriptors over a unix socket.
//!
//! A frame is a length (four bytes, big endian), then JSON. Descriptors travel beside the first bytes of the frame that tells of them. The
//! kernel never gives more of them in one read than were sent in one write, and never before them, so they are queued as they come
//! and taken when the message says how many there are.

use super::message::Message;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long a last look at what the peer has said takes.
const LATE: Duration = Duration::from_millis(50);
/// Descriptors in one frame. The kernel takes 253.
pub(super) const BATCH: usize = 64;
/// Size of a message in bytes: some ten thousand orders.
const MAX_MESSAGE: usize = 4 << 20;
/// Room for one read.
const CHUNK: usize = 8 << 10;

/// A connection to the other process.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

/// Why nothing more can be said.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("it has closed the connection")]
    Closed,
    #[error("it said nothing for {0:?}")]
    Silent(Duration),
    #[error("it doesn't take what is said to it")]
    Stuck,
    #[error("it said what can't be understood: {0}")]
    Nonsense(String),
    #[error("{0}")]
    Io(#[from] io::Error),
}

// === impl Link ===

impl Link {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
            descriptors: VecDeque::new(),
        }
    }

    /// The user and the process at the other end, by the kernel's word.
    pub(super) fn peer(&self) -> io::Result<(u32, Option<u32>)> {
        let peer = self.stream.peer_cred()?;
        Ok((peer.uid(), peer.pid().and_then(|pid| pid.try_into().ok())))
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, message: &Message) -> Result<(), LinkError> {
        self.send_with(message, &[]).await
    }

    /// Sends a message with descriptors, [`BATCH`] at most.
    pub(super) async fn send_with(
        &mut self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), LinkError> {
        let text = serde_json::to_vec(message).map_err(io::Error::other)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend(text);
        let write = async {
            let mut gone = 0;
            while let Some(rest) = frame.get(gone..).filter(|rest| !rest.is_empty()) {
                let beside = if gone == 0 { descriptors } else { &[] };
                let send = || write(&self.stream, rest, beside);
                gone += self.stream.async_io(Interest::WRITABLE, send).await?;
            }
            Ok(())
        };
        timeout(super::PROMPT, write)
            .await
            .unwrap_or(Err(LinkError::Stuck))
    }

    /// The next message. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<Message, LinkError> {
        let value = self.receive_value().await?;
        serde_json::from_value(value).map_err(|error| LinkError::Nonsense(error.to_string()))
    }

    /// The next message, within a time.
    pub(super) async fn receive_within(&mut self, limit: Duration) -> Result<Message, LinkError> {
        match timeout(limit, self.receive()).await {
            Ok(received) => received,
            Err(_) => match self.receive_late().await {
                Some(received) => received,
                None => Err(LinkError::Silent(limit)),
            },
        }
    }

    /// What was said in time after all. Where this process stood still, its timers are over before it has looked at its sockets.
    pub(super) async fn receive_late(&mut self) -> Option<Result<Message, LinkError>> {
        timeout(LATE, self.receive()).await.ok()
    }

    /// The next message as it came, for a peer of another version. Cancel-safe.
    pub(super) async fn receive_value(&mut self) -> Result<serde_json::Value, LinkError> {
        loop {
            if let Some(message) = self.take_frame()? {
                return serde_json::from_slice(&message)
                    .map_err(|error| LinkError::Nonsense(error.to_string()));
            }
            let stream = &self.stream;
            let (bytes, descriptors) = (&mut self.bytes, &mut self.descriptors);
            let read = || read(stream, bytes, descriptors);
            if stream.async_io(Interest::READABLE, read).await? == 0 {
                return Err(LinkError::Closed);
            }
        }
    }

    /// Takes the descriptors that came with a message.
    pub(super) fn take_descriptors(&mut self, count: usize) -> Result<Vec<OwnedFd>, LinkError> {
        if self.descriptors.len() < count {
            let text = format!("{count} sockets, and {} came", self.descriptors.len());
            return Err(LinkError::Nonsense(text));
        }
        Ok(self.descriptors.drain(..count).collect())
    }

    fn take_frame(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        let Some(head) = self.bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        if length > MAX_MESSAGE {
            let text = format!("a message of {length} bytes");
            return Err(LinkError::Nonsense(text));
        }
        if self.bytes.len() < 4 + length {
            return Ok(None);
        }
        let rest = self.bytes.split_off(4 + length);
        let frame = std::mem::replace(&mut self.bytes, rest).split_off(4);
        Ok(Some(frame))
    }
}

fn write(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many sockets in one message"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(rustix::net::sendmsg(
        stream,
        &[IoSlice::new(bytes)],
        &mut control,
        flags,
    )?)
}

fn read(
    stream: &UnixStream,
    bytes: &mut Vec<u8>,
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut chunk = [0; CHUNK];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let mut parts = [IoSliceMut::new(&mut chunk)];
    let told = rustix::net::recvmsg(stream, &mut parts, &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    if told.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other(
            "sockets were lost on the way: raise the limit of open files",
        ));
    }
    bytes.extend_from_slice(chunk.get(..told.bytes).unwrap_or_default());
    Ok(told.bytes)
}
