//! The gRPC health protocol: `grpc.health.v1.Health/Check`, unary, over HTTP/2.
//!
//! Source: the gRPC health checking protocol and "gRPC over HTTP/2". Only the status SERVING passes. A
//! server that doesn't implement the protocol fails: whoever asks for this check must serve it, and
//! taking "unimplemented" for healthy would pass a wrong server on the right port.

use super::SetupError;
use super::body::MAX_BODY;
use super::connect::drive;
use super::fault::Fault;
use super::grpc_codec::{Malformed, SERVING, decode_response, encode_request};
use super::http::{USER_AGENT, absolute, h2_client, parse_host, scheme};
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use lb_core::config::model::GrpcCheck;
use lb_core::health::ProbeFailure;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

const PATH: PathAndQuery = PathAndQuery::from_static("/grpc.health.v1.Health/Check");

/// A prepared call.
#[derive(Debug)]
pub(super) struct GrpcExchange {
    authority: Authority,
    scheme: Scheme,
    message: Bytes,
    timeout: HeaderValue,
}

// === impl GrpcExchange ===

impl GrpcExchange {
    pub(super) fn new(
        check: &GrpcCheck,
        authority: &str,
        tls: bool,
        timeout: Duration,
    ) -> Result<Self, SetupError> {
        let (authority, _) = parse_host(authority)?;
        // The protocol allows eight digits.
        let millis = timeout.as_millis().clamp(1, 99_999_999);
        Ok(Self {
            authority,
            scheme: scheme(tls),
            message: encode_request(&check.service).into(),
            timeout: HeaderValue::try_from(format!("{millis}m"))
                .unwrap_or(HeaderValue::from_static("1S")),
        })
    }

    pub(super) async fn run<S>(&self, stream: S) -> Result<(), Fault>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let fault = |error: h2::Error| Fault::h2(&error);
        let (sender, connection) = h2_client(stream).await?;
        let exchange = async {
            let mut sender = sender.ready().await.map_err(fault)?;
            let (response, mut upload) =
                sender.send_request(self.request()?, false).map_err(fault)?;
            upload
                .send_data(self.message.clone(), true)
                .map_err(fault)?;
            let response = response.await.map_err(fault)?;
            judge_head(&response)?;
            judge_body(response.into_body()).await
        };
        drive(connection, exchange).await
    }

    fn request(&self) -> Result<Request<()>, Fault> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = absolute(&self.scheme, &self.authority, &PATH)?;
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::USER_AGENT, USER_AGENT);
        headers.insert("grpc-timeout", self.timeout.clone());
        Ok(request)
    }
}

fn judge_head(response: &Response<h2::RecvStream>) -> Result<(), Fault> {
    if response.status() != StatusCode::OK {
        return Err(ProbeFailure::BadStatus(response.status().as_u16()).into());
    }
    let headers = response.headers();
    let is_grpc = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return Err(Fault::new(ProbeFailure::Protocol, "not a gRPC answer"));
    }
    // A call that fails at once has its status here, and neither message nor trailers.
    match headers.contains_key("grpc-status") {
        true => judge_call(headers),
        false => Ok(()),
    }
}

async fn judge_body(mut body: h2::RecvStream) -> Result<(), Fault> {
    let fault = |error: h2::Error| Fault::h2(&error);
    let mut framed = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(fault)?;
        if framed.len() + piece.len() > MAX_BODY {
            return Err(Fault::new(ProbeFailure::Protocol, "the answer is too long"));
        }
        framed.extend_from_slice(&piece);
        body.flow_control()
            .release_capacity(piece.len())
            .map_err(fault)?;
    }
    let trailers = body.trailers().await.map_err(fault)?;
    judge_call(&trailers.unwrap_or_default())?;
    match decode_response(&framed) {
        Ok(SERVING) => Ok(()),
        Ok(status) => Err(Fault::new(
            ProbeFailure::NotServing,
            format_args!("serving status {status}"),
        )),
        Err(Malformed) => Err(Fault::new(ProbeFailure::Protocol, "malformed message")),
    }
}

/// Judges the call's own status: whether the question was answered at all.
fn judge_call(headers: &HeaderMap) -> Result<(), Fault> {
    let status = headers.get("grpc-status").map(HeaderValue::as_bytes);
    let reason = match status {
        Some(b"0") => return Ok(()),
        // Deadline exceeded.
        Some(b"4") => ProbeFailure::Timeout,
        // No such service, resources exhausted, unavailable: it speaks, and says no.
        Some(b"5" | b"8" | b"14") => ProbeFailure::NotServing,
        // Unimplemented and all others, or none.
        _ => ProbeFailure::Protocol,
    };
    let status = status.map_or("none".into(), String::from_utf8_lossy);
    Err(Fault::new(reason, format_args!("grpc-status {status}")))
}
