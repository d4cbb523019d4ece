//! A TCP relay that a test cuts: a partition between two replicas.

use std::net::SocketAddr;
use std::time::Duration;

use crate::ports;
use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Carries connections to one address, or leaves them hanging.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    open: watch::Sender<bool>,
    _task: JoinSet<()>,
}

// === impl Relay ===

impl Relay {
    /// Begins to carry connections to `target`.
    ///
    /// # Errors
    ///
    /// When no address is free.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let address = ports::free()?;
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(64)?;
        let (open, state) = watch::channel(true);
        let mut task = JoinSet::new();
        task.spawn(run(listener, target, state));
        Ok(Self {
            address,
            open,
            _task: task,
        })
    }

    /// Where to connect.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Open connections are gone, and new ones lead nowhere.
    pub fn cut(&self) {
        let _ = self.open.send(false);
    }

    /// Carries connections again.
    pub fn heal(&self) {
        let _ = self.open.send(true);
    }
}

async fn run(listener: TcpListener, target: SocketAddr, state: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let mut state = state.clone();
        connections.spawn(async move {
            if !*state.borrow_and_update() {
                // As silent as a partition, for longer than anybody waits.
                tokio::time::sleep(Duration::from_secs(10)).await;
                return;
            }
            tokio::select! {
                _ = carry(stream, target) => {}
                _ = state.wait_for(|open| !open) => {}
            }
        });
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr) -> Result<()> {
    let mut server = TcpStream::connect(target).await.context("connect")?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
