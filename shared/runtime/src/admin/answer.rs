//! Responses: the only place that makes one.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// A body that is in memory as a whole.
pub(super) type Body = Full<bytes::Bytes>;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// The text format that every scraper reads.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    hint: &'a str,
}

/// Plain text for people and probes.
pub(super) fn text(status: StatusCode, body: String) -> Response<Body> {
    build(status, TEXT, body.into_bytes())
}

/// Metrics in the text format 0.0.4.
pub(super) fn metrics(body: String) -> Response<Body> {
    build(StatusCode::OK, METRICS, body.into_bytes())
}

/// A value as JSON, ended by a line feed so that a shell shows it well.
pub(super) fn json(value: &impl Serialize) -> Response<Body> {
    json_with(StatusCode::OK, value)
}

/// An error with what to do about it.
pub(super) fn error(status: StatusCode, error: &str, hint: &str) -> Response<Body> {
    json_with(status, &ErrorBody { error, hint })
}

/// The answer to a method that is not served.
pub(super) fn method_not_allowed() -> Response<Body> {
    let mut response = error(
        StatusCode::METHOD_NOT_ALLOWED,
        "nothing can be written here",
        "use GET or HEAD",
    );
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// The answer to who has the same already.
pub(super) fn not_modified(tag: &str) -> Response<Body> {
    let mut response = tagged(build(StatusCode::NOT_MODIFIED, JSON, Vec::new()), tag);
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

/// An answer with the hash over its content.
pub(super) fn tagged(mut response: Response<Body>, tag: &str) -> Response<Body> {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{tag}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// A value with a status of its own.
pub(super) fn json_with(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            build(status, JSON, body)
        }
        Err(error) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the answer can't be written as JSON: {error}\n"),
        ),
    }
}

fn build(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
