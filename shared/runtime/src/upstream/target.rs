//! Where a request goes: a server's or replica's connection parameters.

use lb_core::config::model::{UpstreamHttp, UpstreamTls};
use pingora_core::protocols::ALPN;
use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::{WrappedX509, parse_x509};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Streams on one HTTP/2 connection before another is opened.
const MAX_H2_STREAMS: usize = 100;

/// How the endpoints of a pool are spoken to. Endpoints with equal targets share connections.
#[derive(Debug, Clone)]
pub struct Target {
    protocol: UpstreamHttp,
    tls: Option<TlsTarget>,
    idle_timeout: Duration,
}

#[derive(Debug, Clone)]
struct TlsTarget {
    server_name: Option<String>,
    ca: Option<Arc<CaType>>,
    ca_text: Option<String>,
    verify: bool,
}

// === impl Target ===

impl Target {
    /// Resolves the settings of a pool or a region. Authorities are read from `base`'s directory.
    ///
    /// # Errors
    /// A reason, when the authorities' file can't be read or holds no certificate.
    pub fn new(
        protocol: UpstreamHttp,
        tls: Option<&UpstreamTls>,
        idle_timeout: Duration,
        base: &Path,
    ) -> Result<Self, String> {
        let tls = tls.map(|tls| TlsTarget::new(tls, base)).transpose()?;
        Ok(Self {
            protocol,
            tls,
            idle_timeout,
        })
    }

    /// Everything that tells one target from another, for reload.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let tls = self
            .tls
            .as_ref()
            .map(|t| (&t.server_name, &t.ca_text, t.verify));
        format!("{:?} {:?} {:?}", self.protocol, tls, self.idle_timeout)
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The connection parameters of the endpoint at `address`; `host` is the name it was configured by.
    #[must_use]
    pub fn peer(&self, address: SocketAddr, host: &str) -> HttpPeer {
        let sni = self
            .tls
            .as_ref()
            .map(|tls| tls.server_name.clone().unwrap_or_else(|| host.into()));
        let mut peer = HttpPeer::new(address, self.tls.is_some(), sni.unwrap_or_default());
        let options = &mut peer.options;
        options.alpn = match (self.protocol, self.tls.is_some()) {
            (UpstreamHttp::Http1, _) | (UpstreamHttp::Auto, false) => ALPN::H1,
            (UpstreamHttp::H2, _) => ALPN::H2,
            (UpstreamHttp::Auto, true) => ALPN::H2H1,
        };
        options.max_h2_streams = MAX_H2_STREAMS;
        options.idle_timeout = Some(self.idle_timeout);
        options.h2_ping_interval = Some(Duration::from_secs(10));
        if let Some(tls) = &self.tls {
            options.verify_cert = tls.verify;
            options.verify_hostname = tls.verify;
            options.ca = tls.ca.clone();
        }
        peer
    }
}

// === impl TlsTarget ===

impl TlsTarget {
    fn new(tls: &UpstreamTls, base: &Path) -> Result<Self, String> {
        let (ca, ca_text) = match &tls.ca {
            None => (None, None),
            Some(file) => {
                let path = base.join(file);
                let pem = std::fs::read(&path)
                    .map_err(|error| format!("authorities {}: {error}", path.display()))?;
                let certificates: Vec<WrappedX509> = rustls_pemfile::certs(&mut pem.as_slice())
                    .filter_map(Result::ok)
                    .filter(|der| x509_parser::parse_x509_certificate(der).is_ok())
                    .map(|der| WrappedX509::new(der.to_vec(), parse_x509))
                    .collect();
                if certificates.is_empty() {
                    return Err(format!(
                        "authorities {}: no certificate in it",
                        path.display()
                    ));
                }
                let ca: Arc<CaType> = certificates.into_boxed_slice().into();
                (Some(ca), String::from_utf8(pem).ok())
            }
        };
        Ok(Self {
            server_name: tls.server_name.clone(),
            ca,
            ca_text,
            verify: tls.verify,
        })
    }
}
