//! Connections to endpoints: reused or opened.
//!
//! HTTP/1 connections are ours from the dial on: see [`IdleConnections`] and [`Wire`]. HTTP/2, and TLS
//! with its certificates and ALPN, are Pingora's.

use super::Endpoint;
use super::idle::IdleConnections;
use crate::clock;
use crate::wire::Wire;
use lb_core::time::Instant;
use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::v2;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::http::v1::client::HttpSession as Http1;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{ErrorType, OrErr, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Idle connections that an event loop keeps.
const CAPACITY: usize = 4096;

/// The connections of one event loop.
pub(crate) struct Dialer {
    idle: IdleConnections,
    connector: v2::Connector,
}

// === impl Dialer ===

impl Dialer {
    pub(crate) fn new() -> Self {
        Self {
            idle: IdleConnections::new(CAPACITY),
            connector: v2::Connector::new(Some(ConnectorOptions::new(CAPACITY))),
        }
    }

    /// An HTTP/1 connection that stands already, when there is one and the endpoint may be spoken to so, and how long it
    /// was idle. A `careful` request can't be repeated when the endpoint closes just now.
    pub(crate) fn reuse(
        &self,
        endpoint: &Endpoint,
        careful: bool,
        now: Instant,
    ) -> Option<(HttpSession, Duration)> {
        if endpoint.peer.options.alpn.get_min_http_version() == 2 {
            return None;
        }
        let (wire, age) = self.idle.take(endpoint, careful, now)?;
        wire.begin();
        Some((HttpSession::H1(Http1::new(wire)), age))
    }

    /// Opens a connection, or a stream on one that stands. Tells whether it stood. `upgrade` asks for
    /// HTTP/1.1 in any case: HTTP/2 has no upgrades, and whoever speaks it takes HTTP/1.1 too.
    ///
    /// # Errors
    /// The endpoint can't be reached, or the handshake fails.
    pub(crate) async fn open(
        &self,
        endpoint: &Endpoint,
        upgrade: bool,
    ) -> Result<(HttpSession, bool)> {
        let peer = &endpoint.peer;
        if upgrade && peer.options.alpn.get_max_http_version() == 2 {
            let mut peer = peer.clone();
            peer.options.alpn = ALPN::H1;
            return Ok((self.open_http1(&peer, endpoint.key.address).await?, false));
        }
        if peer.options.alpn.get_max_http_version() == 1 {
            return Ok((self.open_http1(peer, endpoint.key.address).await?, false));
        }
        if let Some(stream) = self.connector.reused_http_session(peer).await? {
            return Ok((HttpSession::H2(stream), true));
        }
        match self.connector.new_http_session(peer).await? {
            HttpSession::H1(http1) => {
                let wire = Wire::connected(http1.into_inner()).detach();
                Ok((HttpSession::H1(Http1::new(Box::new(wire))), false))
            }
            session => Ok((session, false)),
        }
    }

    async fn open_http1(&self, peer: &HttpPeer, address: SocketAddr) -> Result<HttpSession> {
        let wire = if peer.sni.is_empty() && !pingora_core::upstreams::peer::Peer::tls(peer) {
            let stream = TcpStream::connect(address)
                .await
                .or_err(ErrorType::ConnectError, "connecting")?;
            stream
                .set_nodelay(true)
                .or_err(ErrorType::ConnectError, "setting TCP_NODELAY")?;
            Wire::plain(stream)
        } else {
            Wire::connected(self.connector.transport().new_stream(peer).await?)
        };
        Ok(HttpSession::H1(Http1::new(Box::new(wire.detach()))))
    }

    /// Keeps a connection whose response is complete for the next request.
    pub(crate) async fn keep(&self, endpoint: &Arc<Endpoint>, session: HttpSession) {
        match session {
            HttpSession::H1(mut http1) => {
                http1.respect_keepalive();
                if !http1.will_keepalive() {
                    return;
                }
                let Some(stream) = http1.reuse().await else {
                    return;
                };
                if let Ok(wire) = stream.into_any().downcast::<Wire>() {
                    self.idle.put(endpoint, wire, clock::now());
                }
            }
            HttpSession::H2(stream) => {
                let limit = endpoint.peer.options.idle_timeout;
                self.connector
                    .release_http_session(stream, &endpoint.peer, limit);
            }
            HttpSession::Custom(()) => {}
        }
    }

    /// Closes idle connections in time, for as long as the calling event loop turns.
    pub(crate) async fn keep_swept(&self) {
        self.idle.keep_swept().await;
    }
}
