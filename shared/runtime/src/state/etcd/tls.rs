//! TLS to an etcd, with a certificate of this replica's where one is asked for.

use crate::probe::authorities;
use anyhow::Context;
use lb_core::config::model::EtcdTls;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// How a connection is secured.
#[derive(Clone)]
pub(super) struct Secured {
    config: Arc<ClientConfig>,
    server_name: Option<String>,
}

// === impl Secured ===

impl Secured {
    /// Reads the files, whose relative paths start at `base`.
    ///
    /// # Errors
    /// A file can't be used; the message names it.
    pub(super) fn new(settings: &EtcdTls, base: &Path) -> anyhow::Result<Self> {
        let ca = settings.ca.as_ref().map(|ca| base.join(ca));
        let roots = authorities(ca.as_deref()).context("state.etcd.tls")?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match (&settings.certificate, &settings.key) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (base.join(certificate), base.join(key));
                let named = |path: &Path| format!("state.etcd.tls: {}", path.display());
                let chain = CertificateDer::pem_file_iter(&certificate)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .with_context(|| named(&certificate))?;
                let private = PrivateKeyDer::from_pem_file(&key).with_context(|| named(&key))?;
                builder
                    .with_client_auth_cert(chain, private)
                    .with_context(|| named(&certificate))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            server_name: settings.server_name.clone(),
        })
    }

    /// The handshake with the member at `endpoint`.
    pub(super) async fn connect(
        &self,
        endpoint: &str,
        stream: TcpStream,
    ) -> anyhow::Result<TlsStream<TcpStream>> {
        let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())?;
        let connector = TlsConnector::from(self.config.clone());
        Ok(connector.connect(name, stream).await?)
    }
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured").finish_non_exhaustive()
    }
}
