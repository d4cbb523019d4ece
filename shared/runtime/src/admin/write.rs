//! Writes: let in, read within bounds, carried out, and told in the log.
//!
//! Each leaves one line of the log (target `audit`), whether it was let in or not: who, from where, what, and what became of it.

use super::answer::{self, Body};
use super::gate::{Gate, Visitor};
use super::{AdminSource, HEAD_TIMEOUT, MAX_BODY};
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

/// A write that was let in.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The path that it was sent to.
    pub path: String,
    /// Its body; null when there is none.
    pub body: Value,
    /// The version of `If-Match`; 0 for `If-None-Match: *`.
    pub if_match: Option<u64>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's body.
    pub body: Value,
    /// Who did it, by his own words; for the log.
    pub actor: String,
    /// What was done, or why not; for the log.
    pub what: String,
}

/// Why a request is answered without asking the source.
struct Bad(StatusCode, String, &'static str);

/// Answers a POST.
pub(super) async fn answer<B>(
    source: &dyn AdminSource,
    gate: &Gate,
    visitor: &Visitor,
    request: Request<B>,
) -> Response<Body>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let path = request.uri().path().to_owned();
    if !path.starts_with("/api/v1/") {
        return answer::method_not_allowed();
    }
    let (result, written) = match read(gate, visitor, request).await {
        Err(bad) => {
            let Bad(status, error, hint) = bad;
            let response = answer::error(status, &error, hint);
            (response, (String::new(), error))
        }
        Ok(write) => match source.write(write).await {
            None => return answer::method_not_allowed(),
            Some(done) => {
                let response = answer::json_with(done.status, &done.body);
                (response, (done.actor, done.what))
            }
        },
    };
    audit(visitor, &path, result.status(), &written.0, &written.1);
    result
}

async fn read<B>(gate: &Gate, visitor: &Visitor, request: Request<B>) -> Result<Write, Bad>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let let_in = gate.write(visitor, request.headers());
    let_in.map_err(|turned| Bad(turned.status, turned.error, turned.hint))?;
    let if_match = if_match(request.headers())?;
    let path = request.uri().path().to_owned();
    let body = Limited::new(request.into_body(), MAX_BODY);
    let late = |_| {
        let error = format!("the body did not come within {HEAD_TIMEOUT:?}");
        Bad(StatusCode::REQUEST_TIMEOUT, error, "send it at once")
    };
    let body = tokio::time::timeout(HEAD_TIMEOUT, body.collect()).await;
    let body = body.map_err(late)?.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let error = format!("the body is longer than {MAX_BODY} bytes");
            Bad(StatusCode::PAYLOAD_TOO_LARGE, error, "send less at a time")
        } else {
            let error = format!("the body broke off: {error}");
            Bad(StatusCode::BAD_REQUEST, error, "send it again")
        }
    })?;
    let bytes = body.to_bytes();
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).map_err(|error| {
            let error = format!("the body is not JSON: {error}");
            Bad(StatusCode::BAD_REQUEST, error, "send a JSON object")
        })?
    };
    Ok(Write {
        path,
        body,
        if_match,
    })
}

/// The version that must be there: `If-Match: "3"`, or `If-None-Match: *` for none at all.
fn if_match(fields: &HeaderMap) -> Result<Option<u64>, Bad> {
    if fields.get(IF_NONE_MATCH).is_some_and(|value| value == "*") {
        return Ok(Some(0));
    }
    let Some(value) = fields.get(IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
    let version = text.parse().map_err(|_number| {
        let error = "If-Match is no version of an order".to_owned();
        Bad(
            StatusCode::BAD_REQUEST,
            error,
            "send `If-Match: \"VERSION\"`",
        )
    })?;
    Ok(Some(version))
}

/// What people and peers write is escaped: it can't forge a line.
fn audit(visitor: &Visitor, path: &str, status: StatusCode, actor: &str, what: &str) {
    let (status, from) = (status.as_u16(), &visitor.name);
    let actor = if actor.is_empty() { "-" } else { actor };
    log::info!(target: "audit", "POST {path} by {actor:?} from {from}: {status} {what:?}");
}

// === impl Written ===

impl Written {
    /// An error in the form that all errors have.
    #[must_use]
    pub fn error(status: StatusCode, error: &str, hint: &str) -> Self {
        Self {
            status,
            body: serde_json::json!({ "error": error, "hint": hint }),
            actor: String::new(),
            what: error.to_owned(),
        }
    }

    /// By whom it was, for the log.
    #[must_use]
    pub fn by(mut self, actor: &str) -> Self {
        actor.clone_into(&mut self.actor);
        self
    }
}
