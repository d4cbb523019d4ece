//! A successor of our own, which breaks off wherever a test wants.
//!
//! Written from the protocol's description: a length of four bytes, big endian, then JSON. It takes no descriptors; the kernel
//! closes what is not taken.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::rig::SOON;

/// A connection to `upgrade.sock`.
pub(crate) struct Fake {
    stream: UnixStream,
}

// === impl Fake ===

impl Fake {
    pub(crate) async fn connect(run_directory: &Path) -> Result<Self> {
        let stream = UnixStream::connect(run_directory.join("upgrade.sock")).await?;
        Ok(Self { stream })
    }

    /// Says hello, and gets the sockets; tells their numbers.
    pub(crate) async fn greeted(run_directory: &Path, deadline: Duration) -> Result<(Self, Value)> {
        let mut fake = Self::connect(run_directory).await?;
        fake.hello(1, deadline).await?;
        let mut ids = Vec::new();
        loop {
            let message = fake.hear().await?;
            ensure!(message["say"] == "sockets", "{message}");
            let sockets = message["sockets"].as_array().context("no sockets")?;
            ids.extend(sockets.iter().map(|socket| socket["id"].clone()));
            if message["more"] == false {
                return Ok((fake, Value::Array(ids)));
            }
        }
    }

    pub(crate) async fn hello(&mut self, protocol: u32, deadline: Duration) -> Result<()> {
        let deadline = u64::try_from(deadline.as_millis())?;
        self.say(&json!({
            "say": "hello", "protocol": protocol, "tier": "regional", "name": "fake", "version": "9",
            "config": "x", "deadline_ms": deadline,
        }))
        .await
    }

    pub(crate) async fn say(&mut self, message: &Value) -> Result<()> {
        let text = message.to_string();
        self.stream
            .write_all(&u32::try_from(text.len())?.to_be_bytes())
            .await?;
        Ok(self.stream.write_all(text.as_bytes()).await?)
    }

    pub(crate) async fn hear(&mut self) -> Result<Value> {
        let heard = async {
            let length = self.stream.read_u32().await?;
            let mut text = vec![0; usize::try_from(length)?];
            self.stream.read_exact(&mut text).await?;
            anyhow::Ok(serde_json::from_slice(&text)?)
        };
        timeout(SOON, heard).await?
    }

    /// Waits until the other side has closed.
    pub(crate) async fn closed(mut self) -> Result<()> {
        let mut rest = Vec::new();
        timeout(SOON, self.stream.read_to_end(&mut rest)).await??;
        Ok(())
    }
}
