//! TLS of probes: the same trust as the traffic's, on a configuration of its own.
//!
//! Full handshakes only: a resumed session would not notice that the certificate has expired since.
//!
//! # On `verify: false`
//! Drills and half-built environments have certificates that nobody signed. The operator's switch is
//! explicit and shown by `check`; a probe that insisted on more than the traffic does would take
//! endpoints out that serve. The verifier below therefore accepts any certificate and any name, but
//! still checks the handshake's signature: the peer must hold the key of the certificate that it shows.

use super::SetupError;
use super::fault::Fault;
use lb_core::config::model::UpstreamTls;
use lb_core::health::ProbeFailure;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The file of authorities can't be read or isn't PEM.
    #[error("authorities in {}: {reason}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system's authorities can't be read.
    #[error("the system's authorities: {0}")]
    System(#[source] std::io::Error),
    /// No authority is usable, so nothing would ever be trusted.
    #[error("no usable authority found; name a file of them by tls.ca")]
    NoAuthorities,
    /// The library refuses the configuration.
    #[error("TLS configuration: {0}")]
    Library(#[from] Error),
}

/// TLS settings of a pool's probes; shared by its endpoints.
#[derive(Debug, Clone)]
pub struct ProbeTls {
    http1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
    server_name: Option<String>,
}

/// One endpoint's handshake.
pub(super) struct Handshake {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// Accepts any certificate; see the module's words on `verify: false`.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

// === impl ProbeTls ===

impl ProbeTls {
    /// Reads the authorities and builds the settings. Reads files, so call it where that may block.
    ///
    /// # Errors
    /// [`TlsSetupError`], when there is nothing to verify certificates by.
    pub fn new(config: &UpstreamTls) -> Result<Self, TlsSetupError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let mut client = if config.verify {
            builder.with_root_certificates(authorities(config.ca.as_deref())?)
        } else {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        }
        .with_no_client_auth();
        client.resumption = Resumption::disabled();
        let with_protocol = |protocol: &[u8]| {
            let mut client = client.clone();
            client.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(client)
        };
        Ok(Self {
            http1: with_protocol(b"http/1.1"),
            h2: with_protocol(b"h2"),
            server_name: config.server_name.clone(),
        })
    }

    /// The handshake with the endpoint at `authority`, whose host is the name unless another is configured.
    pub(super) fn handshake(&self, authority: &str, h2: bool) -> Result<Handshake, SetupError> {
        let name = self
            .server_name
            .as_deref()
            .unwrap_or_else(|| host_of(authority));
        Ok(Handshake {
            config: if h2 { &self.h2 } else { &self.http1 }.clone(),
            name: ServerName::try_from(name.to_owned())
                .ok()
                .ok_or_else(|| SetupError::ServerName(name.to_owned()))?,
        })
    }
}

// === impl Handshake ===

impl Handshake {
    pub(super) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Fault> {
        TlsConnector::from(self.config.clone())
            .connect(self.name.clone(), stream)
            .await
            .map_err(|error| Fault::new(ProbeFailure::Tls, error))
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

// === impl AnyCertificate ===

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The authorities of a file, or the system's.
///
/// # Errors
/// [`TlsSetupError`], also when there is none that can be used.
pub(crate) fn authorities(file: Option<&Path>) -> Result<RootCertStore, TlsSetupError> {
    let mut store = RootCertStore::empty();
    match file {
        // A file that the operator names must be right as a whole.
        Some(path) => {
            let fault = |reason: String| TlsSetupError::Authorities {
                path: path.to_owned(),
                reason,
            };
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| fault(error.to_string()))?;
                store
                    .add(certificate)
                    .map_err(|error| fault(error.to_string()))?;
            }
        }
        // The system's collection often has a few that the library doesn't understand.
        None => {
            let system = rustls_native_certs::load_native_certs().map_err(TlsSetupError::System)?;
            store.add_parsable_certificates(system);
        }
    }
    if store.is_empty() {
        return Err(TlsSetupError::NoAuthorities);
    }
    Ok(store)
}

/// The host of `name:port`, `address:port` or `[address]:port`.
fn host_of(authority: &str) -> &str {
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, port)| {
            if port.bytes().all(|b| b.is_ascii_digit()) {
                host
            } else {
                authority
            }
        });
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_authority_loses_port_and_brackets() {
        for (authority, host) in [
            ("web-1.example:8443", "web-1.example"),
            ("web-1.example", "web-1.example"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
        ] {
            assert_eq!(host_of(authority), host);
        }
    }
}
