//! One kept-alive client connection with at most one request in flight.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::time::Instant;

use mio::net::TcpStream;

use crate::http1::{Answer, AnswerReader};

/// A connection and what it waits for.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    reader: AnswerReader,
    unsent: usize,
    started: Option<Instant>,
}

/// What a readable connection turned out to hold.
pub(super) enum Event {
    /// Nothing complete yet.
    Pending,
    /// The answer to the request that started at the given time.
    Answered(Answer, Instant),
    /// The connection is of no further use; the time is that of the request lost with it.
    Broken(Option<Instant>),
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            reader: AnswerReader::default(),
            unsent: 0,
            started: None,
        }
    }

    /// Sends `request`; `at` is the moment from which its wait counts.
    pub(super) fn start(&mut self, request: &[u8], at: Instant) -> io::Result<()> {
        self.started = Some(at);
        self.unsent = request.len();
        self.flush(request)
    }

    /// Sends what the socket did not take before. A request fits a socket buffer by far, so this
    /// does nothing but on a connection whose peer reads nothing.
    pub(super) fn flush(&mut self, request: &[u8]) -> io::Result<()> {
        while self.unsent > 0 {
            let rest = request
                .get(request.len() - self.unsent..)
                .unwrap_or_default();
            match self.stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => self.unsent -= sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there. A short read empties the socket, which spares the call that would only
    /// say `WouldBlock` (epoll(7), question 9), unless the peer closed: then the end must be read.
    pub(super) fn read(&mut self, buffer: &mut [u8], closed: bool) -> Event {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Event::Broken(self.started.take()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Event::Pending,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Event::Broken(self.started.take()),
            };
            let full = count == buffer.len();
            match self.reader.feed(buffer.get(..count).unwrap_or_default()) {
                Ok(Some(answer)) => {
                    return match self.started.take() {
                        Some(started) => Event::Answered(
                            Answer {
                                close: answer.close || closed,
                                ..answer
                            },
                            started,
                        ),
                        None => Event::Broken(None),
                    };
                }
                Ok(None) if full || closed => {}
                Ok(None) => return Event::Pending,
                Err(_) => return Event::Broken(self.started.take()),
            }
        }
    }
}
