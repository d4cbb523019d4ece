//! One websocket, frame by frame (RFC 6455), from either end.
//!
//! Real clients hide what a test of closing has to see: where a frame ends, whether it was masked, and whether the
//! connection was closed or reset after it. No extensions, no subprotocols.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A whole text message.
pub const TEXT: u8 = 0x1;
/// The end.
pub const CLOSE: u8 = 0x8;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x5a, 0x01, 0xc3, 0x7e];

/// One end of a websocket.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
    is_client: bool,
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub opcode: u8,
    /// Whether it was masked, as a client's must be.
    pub masked: bool,
    /// Its payload, unmasked.
    pub payload: Vec<u8>,
}

// === impl Socket ===

impl Socket {
    /// Opens one to `address`.
    ///
    /// # Errors
    ///
    /// When the server does not agree.
    pub async fn connect(address: SocketAddr, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let mut socket = Self::new(stream, true)?;
        let ask = format!(
            "GET {path} HTTP/1.1\r\nhost: test.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
        );
        socket.write(ask.as_bytes()).await?;
        let head = socket.head().await?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Ok(socket)
    }

    /// Takes the next connection as a server and agrees.
    ///
    /// # Errors
    ///
    /// When the client asks for something else.
    pub async fn accept(listener: &TcpListener) -> Result<Self> {
        let (stream, _) = listener.accept().await?;
        let mut socket = Self::new(stream, false)?;
        let head = socket.head().await?.to_lowercase();
        ensure!(head.contains("\r\nupgrade: websocket"), "{head}");
        let agree = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {ACCEPT}\r\n\r\n"
        );
        socket.write(agree.as_bytes()).await?;
        Ok(socket)
    }

    fn new(stream: TcpStream, is_client: bool) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            is_client,
        })
    }

    /// A whole frame as this end would send it.
    pub fn frame(&self, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let bit = if self.is_client { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(short @ 0..126), _) => frame.push(bit | short),
            (_, Ok(length)) => {
                frame.push(bit | 126);
                frame.extend(length.to_be_bytes());
            }
            _ => {
                frame.push(bit | 127);
                frame.extend((payload.len() as u64).to_be_bytes());
            }
        }
        if self.is_client {
            frame.extend(MASK);
        }
        let key = if self.is_client { MASK } else { [0; 4] };
        frame.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
        frame
    }

    /// Sends a frame.
    ///
    /// # Errors
    ///
    /// When the peer is gone.
    pub async fn send(&mut self, opcode: u8, payload: &[u8]) -> Result<()> {
        let frame = self.frame(opcode, payload);
        self.write(&frame).await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// When the peer is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// The next frame; `None` when the peer ended the connection properly between two frames.
    ///
    /// # Errors
    ///
    /// On a reset, and when the connection ends inside a frame.
    pub async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some((frame, used)) = parse(&self.buffer) {
                self.buffer.drain(..used);
                return Ok(Some(frame));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                ensure!(self.buffer.is_empty(), "the end, inside a frame");
                return Ok(None);
            }
        }
    }

    async fn head(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect();
                return Ok(String::from_utf8(head)?);
            }
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the end, before a handshake");
        }
    }
}

// === impl Frame ===

impl Frame {
    /// The code of a close frame.
    ///
    /// # Errors
    ///
    /// When it is another frame, or has none.
    pub fn close_code(&self) -> Result<u16> {
        ensure!(self.opcode == CLOSE, "not a close frame: {self:?}");
        let code = self.payload.first_chunk().context("no code")?;
        Ok(u16::from_be_bytes(*code))
    }
}

/// A whole frame at the start of `bytes`, and its length.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let [first, second, rest @ ..] = bytes else {
        return None;
    };
    let (length, rest) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(*length)).ok()?, rest)
        }
        short => (usize::from(short), rest),
    };
    let masked = second & 0x80 != 0;
    let (key, rest) = if masked {
        let (key, rest) = rest.split_first_chunk::<4>()?;
        (*key, rest)
    } else {
        ([0; 4], rest)
    };
    let payload = rest.get(..length)?;
    let payload = payload.iter().zip(key.iter().cycle());
    let frame = Frame {
        opcode: first & 0x0f,
        masked,
        payload: payload.map(|(byte, key)| byte ^ key).collect(),
    };
    Some((frame, bytes.len() - (rest.len() - length)))
}
