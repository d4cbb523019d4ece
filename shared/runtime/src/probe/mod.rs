//! Carries out active checks: one probe of one endpoint, and the loop that repeats it.
//!
//! # Problem
//! A probe must tell a dead, frozen, broken or overloaded endpoint from a good one, whatever bytes
//! come back, and must itself never hang, leak, panic or read without end.
//!
//! # Choice
//! - Each probe opens its own connection. A pooled one would hide that nothing new gets through any
//!   more (full backlog, expired certificate, a firewall's dead entry), and would share fate with the
//!   traffic's connections.
//! - One deadline covers connect, TLS, head and body together, so that a server which answers a byte
//!   a second is caught.
//! - Nothing is spawned: the connection is driven by the probe's own future, and dropping that closes
//!   all. That is why HTTP/2 is spoken through the `h2` crate and not through hyper, whose HTTP/2
//!   client wants an executor for a task that outlives the request.
//! - The body is read through, up to 64 KiB, even when no text is sought: a server that truncates its
//!   answers is broken.
//!
//! # Rejected
//! Pingora's health checks: they probe over the pool of the traffic, know no gRPC health protocol and
//! no body match, and give no reason.
//!
//! # Limits
//! Ten thousand endpoints mean ten thousand connects a second at the default interval. An endless
//! response body, such as an event stream, passes after 64 KiB or fails by the timeout: name another path.

mod body;
mod connect;
mod fault;
mod grpc;
mod grpc_codec;
mod http;
mod runner;
mod tls;

pub use runner::{CheckSnapshot, run};
pub(crate) use tls::authorities;
pub use tls::{ProbeTls, TlsSetupError};

use fault::Fault;
use lb_core::config::model::{GrpcCheck, HealthCheck, HttpCheck};
use lb_core::health::{ProbeFailure, ProbeResult};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// How an endpoint is probed.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckKind {
    /// By an HTTP request.
    Http(HttpCheck),
    /// By opening a connection, TLS included.
    Tcp,
    /// By the gRPC health protocol.
    Grpc(GrpcCheck),
}

/// An endpoint to probe.
#[derive(Debug, Clone)]
pub struct ProbeTarget {
    /// Where to connect: the endpoint's address, with the check's own port where it has one.
    pub address: SocketAddr,
    /// `name:port` or `address:port` as the operator wrote it: the default for `Host` and for the certificate's name.
    pub authority: String,
    /// How to probe.
    pub check: Arc<CheckKind>,
    /// TLS; without it, plain text.
    pub tls: Option<Arc<ProbeTls>>,
    /// Whether HTTP checks speak HTTP/2, as the pool does.
    pub h2: bool,
    /// Time for the whole probe.
    pub timeout: Duration,
}

/// Why a check can't be carried out as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The method is no method, or one that has no answer to judge.
    #[error("\"{0}\" is not a method that a check can use")]
    Method(String),
    /// The path is no request target.
    #[error("\"{0}\" is not a path")]
    Path(String),
    /// The host is no authority.
    #[error("\"{0}\" is not a host name or address")]
    Host(String),
    /// The name can't be that of a certificate.
    #[error("\"{0}\" is not a name that a certificate can have")]
    ServerName(String),
}

/// Something that can be probed: the prober, or a script in a test.
pub trait Probe: Send + Sync {
    /// Probes once. Must end by itself.
    fn probe(&self) -> impl Future<Output = ProbeResult> + Send;
}

/// Probes one endpoint.
#[derive(Debug)]
pub struct Prober {
    address: SocketAddr,
    timeout: Duration,
    tls: Option<tls::Handshake>,
    exchange: Exchange,
}

/// What is said over the connection.
#[derive(Debug)]
enum Exchange {
    Tcp,
    Http1(http::HttpExchange),
    H2(http::HttpExchange),
    Grpc(grpc::GrpcExchange),
}

// === impl CheckKind ===

impl CheckKind {
    /// The check that a configuration asks for: gRPC, TCP or HTTP; with none given, HTTP `GET /`.
    #[must_use]
    pub fn of(config: &HealthCheck) -> Self {
        match (&config.http, &config.tcp, &config.grpc) {
            (Some(http), _, _) => Self::Http(http.clone()),
            (None, _, Some(grpc)) => Self::Grpc(grpc.clone()),
            (None, Some(_), None) => Self::Tcp,
            (None, None, None) => Self::Http(HttpCheck::default()),
        }
    }
}

// === impl Prober ===

impl Prober {
    /// Prepares the probe of `target`.
    ///
    /// # Errors
    /// [`SetupError`], when the check's request or the certificate's name can't be built from the configuration.
    pub fn new(target: ProbeTarget) -> Result<Self, SetupError> {
        let tls = target.tls.as_deref();
        let exchange = match &*target.check {
            CheckKind::Tcp => Exchange::Tcp,
            CheckKind::Http(check) => {
                let exchange = http::HttpExchange::new(check, &target.authority, tls.is_some())?;
                if target.h2 {
                    Exchange::H2(exchange)
                } else {
                    Exchange::Http1(exchange)
                }
            }
            CheckKind::Grpc(check) => Exchange::Grpc(grpc::GrpcExchange::new(
                check,
                &target.authority,
                tls.is_some(),
                target.timeout,
            )?),
        };
        let h2 = matches!(exchange, Exchange::H2(_) | Exchange::Grpc(_));
        Ok(Self {
            address: target.address,
            timeout: target.timeout,
            tls: tls
                .map(|tls| tls.handshake(&target.authority, h2))
                .transpose()?,
            exchange,
        })
    }

    /// Where it connects.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    async fn attempt(&self) -> Result<(), Fault> {
        let tcp = connect::tcp(self.address).await?;
        match &self.tls {
            None => self.exchange.run(tcp).await,
            Some(tls) => self.exchange.run(tls.connect(tcp).await?).await,
        }
    }
}

impl Probe for Prober {
    /// Probes once, within the timeout. Never panics.
    async fn probe(&self) -> ProbeResult {
        let started = Instant::now();
        let fault = match tokio::time::timeout(self.timeout, Box::pin(self.attempt())).await {
            Ok(Ok(())) => {
                return ProbeResult::Pass {
                    latency: started.elapsed(),
                };
            }
            Ok(Err(fault)) => fault,
            Err(_elapsed) => ProbeFailure::Timeout.into(),
        };
        log::debug!("probe of {}: {fault}", self.address);
        ProbeResult::fail(fault.reason)
    }
}

// === impl Exchange ===

impl Exchange {
    async fn run<S>(&self, stream: S) -> Result<(), Fault>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match self {
            Self::Tcp => Ok(()),
            Self::Http1(http) => http.run_http1(stream).await,
            Self::H2(http) => http.run_h2(stream).await,
            Self::Grpc(grpc) => grpc.run(stream).await,
        }
    }
}

#[cfg(test)]
mod tests;
