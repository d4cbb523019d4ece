//! TLS of a listener: certificates chosen by server name, read again when their files change.

use arc_swap::ArcSwap;
use lb_core::config::model::{ListenerTls, Protocol};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, version};

/// Why a listener's TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what should be there.
        reason: String,
    },
    /// The parts do not fit together.
    #[error("TLS: {0}")]
    Setup(String),
}

/// The TLS of one listener. Certificates can be replaced while it serves.
#[derive(Debug)]
pub struct TlsListener {
    pub(super) config: Arc<ServerConfig>,
    store: Arc<Store>,
}

#[derive(Debug)]
struct Store {
    certificates: ArcSwap<Certificates>,
}

/// Certificates by the names in them.
#[derive(Debug)]
struct Certificates {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
    expiries: Vec<(String, i64)>,
}

// === impl TlsListener ===

impl TlsListener {
    /// Reads certificates and authorities; relative paths start at `base`.
    ///
    /// # Errors
    /// The first file that can't be used.
    pub fn new(tls: &ListenerTls, protocols: &[Protocol], base: &Path) -> Result<Self, TlsError> {
        let store = Arc::new(Store {
            certificates: ArcSwap::from_pointee(read_all(tls, base)?),
        });
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        let builder = match &tls.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let path = base.join(file);
                let roots = Arc::new(read_roots(&path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| content(&path, error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(store.clone());
        if protocols.contains(&Protocol::H2) {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        if protocols.contains(&Protocol::Http1) {
            config.alpn_protocols.push(b"http/1.1".to_vec());
        }
        Ok(Self {
            config: Arc::new(config),
            store,
        })
    }

    /// Reads the certificates again and serves them from the next handshake on.
    ///
    /// # Errors
    /// The first file that can't be used; the certificates that were there go on serving.
    pub fn reload(&self, tls: &ListenerTls, base: &Path) -> Result<(), TlsError> {
        self.store
            .certificates
            .store(Arc::new(read_all(tls, base)?));
        Ok(())
    }

    /// Each certificate's first name and when it expires, in seconds since 1970.
    #[must_use]
    pub fn expiries(&self) -> Vec<(String, i64)> {
        self.store.certificates.load().expiries.clone()
    }
}

// === impl Store ===

impl ResolvesServerCert for Store {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.certificates.load();
        let Some(name) = hello.server_name() else {
            return Some(certificates.first.clone());
        };
        let name = name.to_ascii_lowercase();
        let by_wildcard = || {
            let (_, parent) = name.split_once('.')?;
            certificates.by_name.get(&format!("*.{parent}"))
        };
        let found = certificates.by_name.get(&name).or_else(by_wildcard);
        Some(found.unwrap_or(&certificates.first).clone())
    }
}

fn read_all(tls: &ListenerTls, base: &Path) -> Result<Certificates, TlsError> {
    let mut by_name = HashMap::new();
    let mut expiries = Vec::new();
    let mut first = None;
    for entry in &tls.certificates {
        let path = base.join(&entry.certificate);
        let chain = read_chain(&path)?;
        let (names, expiry) = names_of(&path, &chain)?;
        let key = Arc::new(certified(&path, &base.join(&entry.key), chain)?);
        expiries.push((names.first().cloned().unwrap_or_default(), expiry));
        for name in names {
            by_name.entry(name).or_insert_with(|| key.clone());
        }
        first.get_or_insert(key);
    }
    let first = first.ok_or_else(|| TlsError::Setup("no certificate is given".to_owned()))?;
    Ok(Certificates {
        by_name,
        first,
        expiries,
    })
}

fn certified(
    path: &Path,
    key_path: &Path,
    chain: Vec<CertificateDer<'static>>,
) -> Result<CertifiedKey, TlsError> {
    let pem = read(key_path)?;
    let key: PrivateKeyDer<'static> = rustls_pemfile::private_key(&mut pem.as_slice())
        .map_err(|error| content(key_path, error))?
        .ok_or_else(|| {
            content(
                key_path,
                "no private key: expected PKCS#8, PKCS#1 or SEC1 in PEM",
            )
        })?;
    let signer = ring::sign::any_supported_type(&key).map_err(|error| content(key_path, error))?;
    let certified = CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(|error| {
        content(
            key_path,
            format!("not the key of {} ({error})", path.display()),
        )
    })?;
    Ok(certified)
}

/// The DNS names of a leaf certificate and when it expires.
fn names_of(path: &Path, chain: &[CertificateDer<'_>]) -> Result<(Vec<String>, i64), TlsError> {
    let leaf = chain
        .first()
        .ok_or_else(|| content(path, "no certificate in it"))?;
    let (_, leaf) =
        x509_parser::parse_x509_certificate(leaf).map_err(|error| content(path, error))?;
    let mut names = Vec::new();
    if let Ok(Some(extension)) = leaf.subject_alternative_name() {
        for name in &extension.value.general_names {
            if let x509_parser::extensions::GeneralName::DNSName(name) = name {
                names.push(name.to_ascii_lowercase());
            }
        }
    }
    Ok((names, leaf.validity().not_after.timestamp()))
}

fn read_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(path)? {
        roots
            .add(certificate)
            .map_err(|error| content(path, error))?;
    }
    Ok(roots)
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let chain: Vec<_> = rustls_pemfile::certs(&mut pem.as_slice())
        .collect::<Result<_, _>>()
        .map_err(|error| content(path, error))?;
    if chain.is_empty() {
        return Err(content(path, "no certificate in it: expected PEM"));
    }
    Ok(chain)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn content(path: &Path, reason: impl ToString) -> TlsError {
    TlsError::Content {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
