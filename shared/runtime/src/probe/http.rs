//! The HTTP check, over HTTP/1.1 and HTTP/2.

use super::SetupError;
use super::body::BodyWatch;
use super::connect::drive;
use super::fault::Fault;
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use lb_core::config::model::{HttpCheck, StatusRange};
use lb_core::health::ProbeFailure;
use tokio::io::{AsyncRead, AsyncWrite};

/// How a probe names itself, so that an access log can leave it out.
pub(super) const USER_AGENT: HeaderValue = HeaderValue::from_static("strata-health");

/// Largest response head, in bytes.
pub(super) const MAX_HEAD: usize = 16 << 10;

/// A prepared request and what is expected of its answer.
#[derive(Debug)]
pub(super) struct HttpExchange {
    method: Method,
    authority: Authority,
    host: HeaderValue,
    path: PathAndQuery,
    scheme: Scheme,
    statuses: Vec<StatusRange>,
    body: Option<String>,
}

// === impl HttpExchange ===

impl HttpExchange {
    pub(super) fn new(check: &HttpCheck, authority: &str, tls: bool) -> Result<Self, SetupError> {
        let method = Method::from_bytes(check.method.as_bytes())
            .ok()
            // After a successful CONNECT comes a tunnel, not an answer.
            .filter(|method| *method != Method::CONNECT)
            .ok_or_else(|| SetupError::Method(check.method.clone()))?;
        let path = Some(&check.path)
            .filter(|path| path.starts_with('/'))
            .and_then(|path| path.parse().ok())
            .ok_or_else(|| SetupError::Path(check.path.clone()))?;
        let host = check.host.as_deref().unwrap_or(authority);
        let (authority, host) = parse_host(host)?;
        Ok(Self {
            method,
            authority,
            host,
            path,
            scheme: scheme(tls),
            statuses: check.statuses.clone(),
            body: check.body.clone(),
        })
    }

    pub(super) async fn run_http1<S>(&self, stream: S) -> Result<(), Fault>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let fault = |error: hyper::Error| Fault::http1(&error);
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(fault)?;
        let exchange = async {
            let response = sender
                .send_request(self.http1_request())
                .await
                .map_err(fault)?;
            self.judge_status(response.status())?;
            let mut body = response.into_body();
            let mut watch = self.watch();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(fault)?;
                if frame.data_ref().is_some_and(|data| watch.push(data)) {
                    break;
                }
            }
            Ok(watch.verdict()?)
        };
        drive(connection, exchange).await
    }

    pub(super) async fn run_h2<S>(&self, stream: S) -> Result<(), Fault>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let fault = |error: h2::Error| Fault::h2(&error);
        let (sender, connection) = h2_client(stream).await?;
        let exchange = async {
            let mut sender = sender.ready().await.map_err(fault)?;
            let (response, _) = sender
                .send_request(self.h2_request()?, true)
                .map_err(fault)?;
            let response = response.await.map_err(fault)?;
            self.judge_status(response.status())?;
            let mut body = response.into_body();
            let mut watch = self.watch();
            while let Some(piece) = body.data().await {
                let piece = piece.map_err(fault)?;
                if watch.push(&piece) {
                    break;
                }
                // Without this the server would stop after the first window.
                body.flow_control()
                    .release_capacity(piece.len())
                    .map_err(fault)?;
            }
            Ok(watch.verdict()?)
        };
        drive(connection, exchange).await
    }

    fn watch(&self) -> BodyWatch<'_> {
        BodyWatch::new(self.body.as_deref())
    }

    fn judge_status(&self, status: http::StatusCode) -> Result<(), ProbeFailure> {
        let status = status.as_u16();
        if self.statuses.iter().any(|range| range.contains(status)) {
            Ok(())
        } else {
            Err(ProbeFailure::BadStatus(status))
        }
    }

    fn http1_request(&self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.path.clone());
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::USER_AGENT, USER_AGENT);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        request
    }

    fn h2_request(&self) -> Result<Request<()>, Fault> {
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = absolute(&self.scheme, &self.authority, &self.path)?;
        request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
        Ok(request)
    }
}

/// A connection's HTTP/2 client, with narrow limits on what the server may make us keep.
pub(super) async fn h2_client<S>(
    stream: S,
) -> Result<
    (
        h2::client::SendRequest<Bytes>,
        h2::client::Connection<S, Bytes>,
    ),
    Fault,
>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .handshake(stream)
        .await
        .map_err(|error| Fault::h2(&error))
}

/// The parts as an absolute URI. They were parsed one by one, so this can't fail; if it did, the fault is ours.
pub(super) fn absolute(
    scheme: &Scheme,
    authority: &Authority,
    path: &PathAndQuery,
) -> Result<Uri, Fault> {
    Uri::builder()
        .scheme(scheme.clone())
        .authority(authority.clone())
        .path_and_query(path.clone())
        .build()
        .map_err(|error| Fault::new(ProbeFailure::Local, error))
}

pub(super) fn scheme(tls: bool) -> Scheme {
    if tls { Scheme::HTTPS } else { Scheme::HTTP }
}

/// `name`, `name:port` or `address:port` as an authority and as a `Host` value.
pub(super) fn parse_host(host: &str) -> Result<(Authority, HeaderValue), SetupError> {
    let refused = || SetupError::Host(host.to_owned());
    let authority = host
        .parse::<Authority>()
        .ok()
        // User information has no place in a Host field.
        .filter(|_| !host.contains('@'))
        .ok_or_else(refused)?;
    let value = HeaderValue::from_str(host).ok().ok_or_else(refused)?;
    Ok((authority, value))
}
