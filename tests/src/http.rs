//! A small HTTP client that hides nothing: no pool, no retry, no redirect.
//!
//! A [`Dial`] says where and how to connect (HTTP/1.1 or HTTP/2, plain or TLS); [`Dial::connect`] gives a [`Conn`]
//! whose reuse the test decides. [`get`] and [`post`] make one plain HTTP/1.1 connection per call.
//! For bytes that no proper client would send, see [`crate::raw`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Body of a request: anything, boxed.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Deadline of [`get`], [`post`] and [`Dial::send`].
pub const DEADLINE: Duration = Duration::from_secs(15);

/// Where and how to connect.
#[derive(Debug, Clone)]
pub struct Dial {
    address: SocketAddr,
    http2: bool,
    tls: Option<(Arc<ClientConfig>, String)>,
}

/// One open connection.
#[derive(Debug)]
pub enum Conn {
    /// HTTP/1.1: one request at a time.
    Http1(http1::SendRequest<Body>),
    /// HTTP/2: many at once; see [`Conn::share`].
    Http2(http2::SendRequest<Body>),
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Protocol version of the answer.
    pub version: Version,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body, complete.
    pub body: Bytes,
    /// Trailer fields, when there were any.
    pub trailers: HeaderMap,
    /// Status codes of informational answers before this one, HTTP/1.1 only.
    pub informational: Vec<u16>,
}

/// `GET path` on a new plain HTTP/1.1 connection.
///
/// # Errors
///
/// When there is no complete answer within [`DEADLINE`].
pub async fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    Dial::http1(address).get(path).await
}

/// `POST path` with a body on a new plain HTTP/1.1 connection.
///
/// # Errors
///
/// When there is no complete answer within [`DEADLINE`].
pub async fn post(address: SocketAddr, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
    let request = Request::post(path).body(full(body))?;
    Dial::http1(address).send(request).await
}

/// A body that is all there.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(never).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// Whether the peer said over HTTP/2 that it did not look at the request, so that every client sends it again, whatever its method (RFC 9113
/// §6.8 and §8.7).
pub fn is_refused(error: &anyhow::Error) -> bool {
    let h2 = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<h2::Error>());
    h2.is_some_and(|error| {
        error.reason() == Some(h2::Reason::REFUSED_STREAM)
            || (error.is_go_away()
                && error.is_remote()
                && error.reason() == Some(h2::Reason::NO_ERROR))
    })
}

/// Reads an answer to its end.
///
/// # Errors
///
/// When the body is cut short.
pub async fn collect(response: Response<Incoming>) -> Result<Answer> {
    let (head, body) = response.into_parts();
    let read = body
        .collect()
        .await
        .with_context(|| format!("body of a {}", head.status))?;
    let trailers = read.trailers().cloned().unwrap_or_default();
    Ok(Answer {
        status: head.status.as_u16(),
        version: head.version,
        headers: head.headers,
        body: read.to_bytes(),
        trailers,
        informational: Vec::new(),
    })
}

// === impl Dial ===

impl Dial {
    /// Plain HTTP/1.1.
    pub fn http1(address: SocketAddr) -> Self {
        Self {
            address,
            http2: false,
            tls: None,
        }
    }

    /// HTTP/2 in the clear, with prior knowledge.
    pub fn h2c(address: SocketAddr) -> Self {
        Self {
            address,
            http2: true,
            tls: None,
        }
    }

    /// TLS with `name` as server name; the protocol is HTTP/2 when `tls` offered it and the peer took it.
    pub fn tls(address: SocketAddr, name: &str, tls: Arc<ClientConfig>) -> Self {
        Self {
            address,
            http2: false,
            tls: Some((tls, name.to_owned())),
        }
    }

    /// Whether HTTP/2 will be spoken in the clear.
    pub fn is_h2c(&self) -> bool {
        self.http2
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// When TCP, TLS or the HTTP handshake fails.
    pub async fn connect(&self) -> Result<Conn> {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("connecting to {}", self.address))?;
        stream.set_nodelay(true)?;
        let Some((config, name)) = &self.tls else {
            return handshake(stream, self.http2).await;
        };
        let name = ServerName::try_from(name.clone())?;
        let stream = TlsConnector::from(config.clone())
            .connect(name, stream)
            .await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        handshake(stream, http2).await
    }

    /// `GET path` on a new connection.
    ///
    /// # Errors
    ///
    /// When there is no complete answer within [`DEADLINE`].
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Request::get(path).body(empty())?).await
    }

    /// Sends `request` on a new connection and reads the whole answer.
    ///
    /// # Errors
    ///
    /// When there is no complete answer within [`DEADLINE`].
    pub async fn send(&self, request: Request<Body>) -> Result<Answer> {
        let what = format!("{} {} at {}", request.method(), request.uri(), self.address);
        let sent = async { self.connect().await?.send(request).await };
        timeout(DEADLINE, sent)
            .await
            .map_err(|late| anyhow!("no complete answer: {late} ({DEADLINE:?})"))
            .flatten()
            .context(what)
    }
}

// === impl Conn ===

impl Conn {
    /// Sends a request and gives back the head of the answer.
    ///
    /// A missing `Host` is filled in, and HTTP/2 gets a scheme and authority.
    ///
    /// # Errors
    ///
    /// When the connection ends before the head.
    pub async fn begin(&mut self, mut request: Request<Body>) -> Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                if !request.headers().contains_key(HOST) {
                    request.headers_mut().insert(HOST, "test.example".parse()?);
                }
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
            Self::Http2(sender) => {
                if request.uri().authority().is_none() {
                    let path = request.uri().to_string();
                    *request.uri_mut() = format!("http://test.example{path}").parse()?;
                }
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
        }
    }

    /// Sends a request and reads the whole answer, noting informational answers on HTTP/1.1.
    ///
    /// # Errors
    ///
    /// When the connection ends before the end of the answer.
    pub async fn send(&mut self, mut request: Request<Body>) -> Result<Answer> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        if matches!(self, Self::Http1(_)) {
            let seen = seen.clone();
            hyper::ext::on_informational(&mut request, move |head| {
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(head.status().as_u16());
            });
        }
        let mut answer = collect(self.begin(request).await?).await?;
        answer.informational = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(answer)
    }

    /// Another handle to the same HTTP/2 connection; `None` for HTTP/1.1.
    pub fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }

    /// Whether the peer or an error has ended it.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Whether it can take a request now.
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }
}

// === impl Answer ===

impl Answer {
    /// Body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Value of a header field, empty when missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Body as JSON.
    ///
    /// # Errors
    ///
    /// When it is none; the message holds the body.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }
}

async fn handshake<S>(stream: S, http2: bool) -> Result<Conn>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    // A connection's end shows at its requests, so the driver's result is not needed.
    if http2 {
        let (sender, driver) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(async move { driver.await.ok() });
        Ok(Conn::Http2(sender))
    } else {
        let (sender, driver) = http1::handshake(io).await?;
        tokio::spawn(async move { driver.await.ok() });
        Ok(Conn::Http1(sender))
    }
}

fn never(error: Infallible) -> std::io::Error {
    match error {}
}
