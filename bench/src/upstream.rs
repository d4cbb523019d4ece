//! The test servers: one process, several listening addresses, one fixed small answer.
//!
//! It stands behind every contender, on the generator's core, so it must cost as little as possible:
//! one thread, one epoll instance, one read and one write per request, an answer built once. Limits:
//! requests without a body only (each blank line is the end of one), the same answer for every path,
//! so health checks pass too.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::http1::head_end;

/// The largest request head that is accepted, in bytes.
const MAX_HEAD: usize = 16 * 1024;

struct Client {
    stream: TcpStream,
    /// The start of a head whose end has not come yet.
    partial: Vec<u8>,
    /// Answers owed, and how many bytes of the first are sent already.
    owed: usize,
    sent: usize,
}

struct Server {
    poll: Poll,
    listeners: Vec<TcpListener>,
    clients: HashMap<usize, Client>,
    next_token: usize,
    answer: Vec<u8>,
}

/// Serves `count` loopback addresses until the process is stopped; prints them on one line, separated
/// by spaces, once all of them listen. The body of every answer is `size` bytes.
pub(crate) fn serve(count: usize, size: usize) -> anyhow::Result<()> {
    let mut server = Server::bind(count, size)?;
    let addresses: Vec<String> = server
        .listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.to_string()))
        .collect::<io::Result<_>>()?;
    writeln!(io::stdout(), "{}", addresses.join(" ")).context("printing the addresses")?;
    server.run()
}

// === impl Server ===

impl Server {
    fn bind(count: usize, size: usize) -> anyhow::Result<Self> {
        let poll = Poll::new().context("creating an epoll instance")?;
        let mut listeners = Vec::with_capacity(count);
        for index in 0..count {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let mut listener = TcpListener::bind(address).context("binding a test server")?;
            poll.registry()
                .register(&mut listener, Token(index), Interest::READABLE)?;
            listeners.push(listener);
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\n\
             Content-Length: {size}\r\n\r\n"
        );
        let mut answer = head.into_bytes();
        answer.resize(answer.len() + size, b'x');
        Ok(Self {
            poll,
            listeners,
            clients: HashMap::new(),
            next_token: count,
            answer,
        })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; MAX_HEAD];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                let token = event.token().0;
                if token < self.listeners.len() {
                    self.accept(token);
                } else if let Some(client) = self.clients.get_mut(&token) {
                    let closed = event.is_read_closed() || event.is_error();
                    if client.serve(&mut buffer, &self.answer, closed).is_err() {
                        self.clients.remove(&token);
                    }
                }
            }
        }
    }

    fn accept(&mut self, listener: usize) {
        let Some(listener) = self.listeners.get(listener) else {
            return;
        };
        while let Ok((mut stream, _)) = listener.accept() {
            let token = self.next_token;
            self.next_token += 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registered = self
                .poll
                .registry()
                .register(&mut stream, Token(token), interest);
            if stream.set_nodelay(true).is_ok() && registered.is_ok() {
                let client = Client {
                    stream,
                    partial: Vec::new(),
                    owed: 0,
                    sent: 0,
                };
                self.clients.insert(token, client);
            }
        }
    }
}

// === impl Client ===

impl Client {
    /// Reads what is there and answers it. An error means that the connection has ended.
    fn serve(&mut self, buffer: &mut [u8], answer: &[u8], closed: bool) -> io::Result<()> {
        self.flush(answer)?;
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.take(buffer.get(..count).unwrap_or_default())?;
            self.flush(answer)?;
            if count < buffer.len() && !closed {
                return Ok(());
            }
        }
    }

    /// Counts the heads that are complete and keeps the start of the next one.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let joined;
        let mut rest = bytes;
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.partial);
            rest = &joined;
        }
        while let Some(end) = head_end(rest) {
            self.owed += 1;
            rest = rest.get(end..).unwrap_or_default();
        }
        if rest.len() > MAX_HEAD {
            return Err(ErrorKind::InvalidData.into());
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn flush(&mut self, answer: &[u8]) -> io::Result<()> {
        while self.owed > 0 {
            match self
                .stream
                .write(answer.get(self.sent..).unwrap_or_default())
            {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.sent >= answer.len() {
                self.sent = 0;
                self.owed -= 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Interrupt;
    use crate::load::Target;
    use crate::load::closed::ClosedLoop;
    use crate::load::idle::IdleConnections;
    use crate::load::open::{OpenLoop, OpenPlan};
    use std::time::Duration;

    fn start(size: usize) -> Target {
        let mut server = Server::bind(1, size).unwrap();
        let address = server.listeners[0].local_addr().unwrap();
        std::thread::spawn(move || server.run());
        Target::get(address)
    }

    #[test]
    fn small_and_large_answers_come_whole_in_a_closed_loop() {
        for size in [1, 64 * 1024] {
            let interrupt = Interrupt::default();
            let mut load = ClosedLoop::connect(start(size), 8, &interrupt).unwrap();
            let result = load.run(Duration::from_millis(100)).unwrap();
            assert!(result.answers > 0, "no answer of {size} bytes");
            assert_eq!(result.errors, 0, "errors with {size} bytes");
        }
    }

    #[test]
    fn open_loop_offers_its_rate_and_gets_every_answer() {
        let mut load = OpenLoop::connect(start(128), 8, &Interrupt::default()).unwrap();
        let late_after = Duration::from_secs(1);
        let plan = OpenPlan {
            rate: 2_000.0,
            window: Duration::from_millis(500),
            late_after,
        };
        let result = load.run(&plan).unwrap();
        assert!(
            (800..1_200).contains(&result.due),
            "{} requests fell due",
            result.due
        );
        assert_eq!((result.answers, result.errors), (result.due, 0));
    }

    #[test]
    fn idle_connections_stay_open_until_dropped() {
        let idle = IdleConnections::open(&start(128), 150, &Interrupt::default()).unwrap();
        assert_eq!(idle.alive(), 150);
    }

    #[test]
    fn a_request_in_pieces_and_two_in_one_piece_are_counted() {
        let (stream, _peer) = {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (TcpStream::from_std(listener.accept().unwrap().0), peer)
        };
        let mut client = Client {
            stream,
            partial: Vec::new(),
            owed: 0,
            sent: 0,
        };
        client.take(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
        assert_eq!(client.owed, 0);
        client
            .take(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert_eq!((client.owed, client.partial.len()), (2, 0));
    }
}
