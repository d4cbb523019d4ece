//! Many connections that were used once and then say nothing.
//!
//! Each is opened, asks once, reads its answer and stays: the state of a kept-alive user between two
//! clicks. One after the other, so that at most one request is in flight and the proxy's upstream
//! side does not grow with the number of users. Source addresses are spread over 127.0.0.0/16, so
//! that neither ports run out nor a per-client cap is hit.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use socket2::{Domain, Socket, Type};

use super::Target;
use crate::http1::AnswerReader;
use crate::interrupt::Interrupt;

/// Connections per source address.
const PER_SOURCE: usize = 100;
/// The longest wait for one connection or answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Open connections; dropping them closes all.
pub(crate) struct IdleConnections {
    streams: Vec<TcpStream>,
}

// === impl IdleConnections ===

impl IdleConnections {
    /// Opens `count` connections and uses each once.
    pub(crate) fn open(
        target: &Target,
        count: usize,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        let mut streams = Vec::with_capacity(count);
        for index in 0..count {
            interrupt.check()?;
            let stream = connect_from(source(index), target.address)
                .and_then(|mut stream| {
                    ask(&mut stream, &target.request)?;
                    Ok(stream)
                })
                .with_context(|| format!("idle connection {} of {count}", index + 1))?;
            streams.push(stream);
        }
        Ok(Self { streams })
    }

    /// How many of them the peer has kept open.
    pub(crate) fn alive(&self) -> usize {
        self.streams.iter().filter(|stream| is_open(stream)).count()
    }
}

/// Host part 0.0 and 0.1 stay free: 127.0.0.1 is where everything else talks from.
fn source(index: usize) -> Ipv4Addr {
    let number = index / PER_SOURCE + 2;
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 0, high, low)
}

fn connect_from(source: Ipv4Addr, target: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
    socket.connect_timeout(&target.into(), LIMIT)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request and its whole answer; any status but 2xx is an error.
fn ask(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<()> {
    stream.write_all(request)?;
    let mut reader = AnswerReader::default();
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            bail!("closed before the answer");
        }
        match reader.feed(buffer.get(..count).unwrap_or_default()) {
            Ok(Some(answer)) if (200..300).contains(&answer.status) => return Ok(()),
            Ok(Some(answer)) => bail!("status {}", answer.status),
            Ok(None) => {}
            Err(_) => bail!("an answer that cannot be framed"),
        }
    }
}

fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let seen = stream
        .set_nonblocking(true)
        .and_then(|()| stream.peek(&mut byte));
    matches!(seen, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_loopback_and_change_every_hundred() {
        assert_eq!(source(0), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(source(99), source(0));
        assert_eq!(source(100), Ipv4Addr::new(127, 0, 0, 3));
        assert_eq!(source(50_000), Ipv4Addr::new(127, 0, 1, 246));
    }
}
