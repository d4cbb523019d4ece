//! What else Pingora's sessions ask of a connection.

use super::Wire;
use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// How long a peer may take for what is left when its connection is closed.
const FAREWELL: Duration = Duration::from_secs(2);

#[async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        match pingora_timeout::timeout(FAREWELL, AsyncWriteExt::shutdown(self)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::debug!("closing a connection: {error}"),
            Err(_) => log::debug!("closing a connection: its peer does not read"),
        }
    }
}

impl UniqueID for Wire {
    fn id(&self) -> UniqueIDType {
        self.lock().transport.fd()
    }
}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl Ssl for Wire {}

#[async_trait]
impl Peek for Wire {}
