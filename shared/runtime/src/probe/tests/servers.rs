//! Small servers on loopback, as good or as bad as a test wants them.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A server that ends with the test.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Hands each connection to `serve`.
    pub(super) async fn new<F, R>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self { address, task }
    }

    /// Answers each request with `response`, byte for byte, and closes.
    pub(super) async fn raw(response: impl Into<Vec<u8>>) -> Self {
        let response: Arc<[u8]> = response.into().into();
        Self::new(move |stream| answer_raw(stream, response.clone())).await
    }

    /// Accepts and never says a word.
    pub(super) async fn silent() -> Self {
        Self::new(|stream| async move {
            let _stream = stream;
            std::future::pending::<()>().await;
        })
        .await
    }

    /// Speaks HTTP/2 with prior knowledge.
    pub(super) async fn h2(script: H2Script) -> Self {
        Self::new(move |stream| answer_h2(stream, script.clone())).await
    }

    /// Speaks TLS with `certificate`, HTTP/1.1 inside; with a script, HTTP/2.
    pub(super) async fn tls(certificate: &Certificate, script: Option<H2Script>) -> Self {
        let acceptor = certificate.acceptor();
        Self::new(move |stream| {
            let (acceptor, script) = (acceptor.clone(), script.clone());
            async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                match script {
                    Some(script) => answer_h2(stream, script).await,
                    None => {
                        answer_raw(
                            stream,
                            (*b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").into(),
                        )
                        .await;
                    }
                }
            }
        })
        .await
    }
}

/// An address where nothing listens.
pub(super) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Reads a request head. False when the client left.
pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

pub(super) async fn answer_raw(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    response: Arc<[u8]>,
) {
    if read_head(&mut stream).await.is_some() {
        let _ = stream.write_all(&response).await;
        let _ = stream.shutdown().await;
    }
}

/// What an HTTP/2 server answers to each request.
#[derive(Clone, Default)]
pub(super) struct H2Script {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Bytes,
    pub(super) trailers: Option<Vec<(&'static str, &'static str)>>,
    /// Breaks off after the head.
    pub(super) reset: bool,
    /// Gets each request as it came in, with its body.
    pub(super) seen: Option<tokio::sync::mpsc::Sender<Request<Vec<u8>>>>,
}

async fn answer_h2(stream: impl AsyncRead + AsyncWrite + Unpin, script: H2Script) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer_h2_request(request, respond, script.clone()));
    }
}

async fn answer_h2_request(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    script: H2Script,
) {
    let (parts, mut upload) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(piece)) = upload.data().await {
        body.extend_from_slice(&piece);
    }
    if let Some(seen) = &script.seen {
        let _ = seen.send(Request::from_parts(parts, body)).await;
    }
    let mut response = Response::builder().status(script.status);
    for (name, value) in &script.headers {
        response = response.header(*name, *value);
    }
    let bare = script.body.is_empty() && script.trailers.is_none() && !script.reset;
    let mut stream = respond
        .send_response(response.body(()).unwrap(), bare)
        .unwrap();
    if script.reset {
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
    } else if !bare {
        stream
            .send_data(script.body, script.trailers.is_none())
            .unwrap();
        if let Some(trailers) = script.trailers {
            let map: HeaderMap = trailers
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            stream.send_trailers(map).unwrap();
        }
        // Until all has gone out or the client has left.
        let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
    }
}

/// A self-signed certificate and its key.
pub(super) struct Certificate {
    inner: rcgen::CertifiedKey<rcgen::KeyPair>,
    pub(super) file: tempfile::NamedTempFile,
}

impl Certificate {
    pub(super) fn for_name(name: &str) -> Self {
        Self::with(rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    pub(super) fn expired(name: &str) -> Self {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        Self::with(params)
    }

    fn with(params: rcgen::CertificateParams) -> Self {
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let cert = params.self_signed(&signing_key).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), cert.pem()).unwrap();
        Self {
            inner: rcgen::CertifiedKey { cert, signing_key },
            file,
        }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(self.inner.signing_key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.inner.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}
