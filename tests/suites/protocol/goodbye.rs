//! HTTP/2 connections that a replica closes for their idleness: what a client had sent before it could know is answered.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::topology::{Platform, Topology};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
/// The whole request: END_STREAM and END_HEADERS.
const WHOLE: u8 = 5;
/// `GET http://t/`, from the static table (RFC 7541, appendix A).
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b't'];

/// A frame (RFC 9113 §4.1).
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A client that says just what the test wants, and answers no ping by itself.
struct Client(TcpStream);

// === impl Client ===

impl Client {
    async fn connect(address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await?;
        let mut client = Self(stream);
        client.send(SETTINGS, 0, 0, &[]).await?;
        Ok(client)
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<()> {
        let length = u32::try_from(payload.len())?.to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        Ok(self.0.write_all(&frame).await?)
    }

    /// The next frame; none when the peer has closed.
    async fn next(&mut self) -> Result<Option<Frame>> {
        let mut head = [0; 9];
        let read = timeout(SOON, self.0.read_exact(&mut head)).await;
        if read.context("nothing came")?.is_err() {
            return Ok(None);
        }
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await?;
        Ok(Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload,
        }))
    }

    /// Reads until a frame of this kind comes.
    async fn awaits(&mut self, kind: u8) -> Result<Frame> {
        let mut others = Vec::new();
        while let Some(frame) = self.next().await? {
            if frame.kind == kind {
                return Ok(frame);
            }
            others.push(frame);
        }
        anyhow::bail!("no frame {kind}, but {others:?}")
    }
}

/// A replica that closes idle connections soon.
async fn impatient() -> Result<Platform> {
    let plan = Topology::regional().pool("web", 1);
    let soon = "limits: { h2: { idle_timeout: 300ms } }\n";
    let plan = plan.tune_regional(move |file| soon.clone_into(&mut file.extra));
    plan.start().await
}

#[tokio::test]
async fn a_request_that_crosses_the_goodbye_to_an_idle_connection_is_answered() -> Result<()> {
    let platform = impatient().await?;
    let mut client = Client::connect(platform.address()?).await?;
    let goodbye = client.awaits(GOAWAY).await?;
    ensure!(
        goodbye.payload.starts_with(&0x7fff_ffff_u32.to_be_bytes()),
        "{goodbye:?}: no time is left for what is on its way (RFC 9113 §6.8)"
    );
    let ping = client.awaits(PING).await?;
    // The answer to the ping would say that nothing more comes.
    client.send(HEADERS, WHOLE, 1, GET).await?;
    let answer = client.awaits(HEADERS).await?;
    // `:status: 200` of the static table.
    ensure!(
        answer.stream == 1 && answer.payload.first() == Some(&0x88),
        "{answer:?}"
    );
    client.send(PING, ACK, 0, &ping.payload).await?;
    let goodbye = client.awaits(GOAWAY).await?;
    ensure!(
        goodbye.payload.starts_with(&1_u32.to_be_bytes()) && goodbye.flags == 0,
        "{goodbye:?}"
    );
    while client.next().await?.is_some() {}
    Ok(())
}

/// A client that answers no ping can't keep the connection.
#[tokio::test]
async fn a_client_that_ignores_the_goodbye_is_left() -> Result<()> {
    let platform = impatient().await?;
    let mut client = Client::connect(platform.address()?).await?;
    client.awaits(GOAWAY).await?;
    let ended = async {
        while client.next().await?.is_some() {}
        anyhow::Ok(())
    };
    timeout(SOON, ended).await.context("it is still open")?
}
