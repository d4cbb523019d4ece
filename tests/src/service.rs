//! A small Service: spreads TCP connections over replicas, and hears of their end late.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What kube-proxy does with a Service's endpoints.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    endpoints: Arc<Mutex<Vec<SocketAddr>>>,
    _task: JoinSet<()>,
}

// === impl Service ===

impl Service {
    /// Spreads over `endpoints`, on a port of loopback.
    ///
    /// # Errors
    ///
    /// When no port can be bound.
    pub async fn start(endpoints: &[SocketAddr]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let endpoints = Arc::new(Mutex::new(endpoints.to_vec()));
        let known = endpoints.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let (next, mut connections) = (AtomicUsize::new(0), JoinSet::new());
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let turn = next.fetch_add(1, Ordering::Relaxed);
                let endpoint = {
                    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                    known.get(turn % known.len().max(1)).copied()
                };
                if let Some(endpoint) = endpoint {
                    connections.spawn(carry(stream, endpoint));
                }
            }
        });
        Ok(Self {
            address,
            endpoints,
            _task: task,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to the others.
    pub fn remove(&self, endpoint: SocketAddr) {
        let mut known = self
            .endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| *known != endpoint);
    }

    /// New connections go to this one too.
    pub fn add(&self, endpoint: SocketAddr) {
        let mut known = self
            .endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.push(endpoint);
    }
}

/// A Service is no proxy: what one side gets, the other gets, a refusal too.
async fn carry(mut client: TcpStream, endpoint: SocketAddr) {
    let carried = async {
        let mut server = TcpStream::connect(endpoint).await.context("connect")?;
        server.set_nodelay(true)?;
        client.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await?;
        anyhow::Ok(())
    };
    // A refused or reset connection is closed, which is what its client would see.
    let _ = carried.await;
}
