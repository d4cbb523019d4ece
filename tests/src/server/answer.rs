//! From a request to its answer, with everything the script puts in between.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRAILER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rand::RngExt;
use tokio::time::{Instant, sleep};

use super::behaviour::{Answer, Behaviour, Early, Fault, Health};
use super::body::{Content, LAG, body_of};
use super::conn::{ConnState, Cut};
use super::flight::{Flight, Tracked};
use super::ledger::{Entry, Fate, Seen, TEST_ID};
use super::{BODY_BYTES, BODY_SEED, SERVED_BY, Shared};
use crate::pattern;

/// What was read of a request's body.
#[derive(Default)]
struct Upload {
    bytes: u64,
    is_intact: bool,
    head: Vec<u8>,
}

pub(super) async fn handle(
    shared: Arc<Shared>,
    conn: Arc<ConnState>,
    request: Request<Incoming>,
) -> io::Result<Response<Tracked>> {
    let (head, body) = request.into_parts();
    let script = shared.behaviour();
    let is_probe = head.uri.path() == "/healthz";
    let mut flight = Flight::begin(
        shared.clone(),
        conn.clone(),
        (!is_probe).then(|| seen_of(&head, conn.number)),
    );
    shared.wait_open().await;
    if is_probe && script.health != Health::Follow {
        return Ok(probe(script.health, flight).await);
    }
    let _worker = match &script.workers {
        Some(workers) => workers.clone().acquire_owned().await.ok(),
        None => None,
    };
    let upload = take_body(&script, &flight, &head, body).await?;
    for status in &script.informational {
        conn.write_raw(format!("HTTP/1.1 {status} Hint\r\nlink: </a.css>\r\n\r\n").as_bytes());
    }
    let of_path = path_number(&head, "/delay/").map(Duration::from_millis);
    sleep_if(script.head_delay + of_path.unwrap_or_default()).await;
    shared.wait_open().await;
    let fault = script.fault.filter(|_| shared.draw(script.fault_share));
    if let Some(fault) = fault {
        break_head(fault, &mut flight).await;
    }
    Ok(respond(&script, flight, &head, upload, fault))
}

async fn probe(health: Health, mut flight: Flight) -> Response<Tracked> {
    let status = match health {
        Health::Pass | Health::Follow => StatusCode::OK,
        Health::Fail(status) => status_of(status),
        Health::Hang => std::future::pending().await,
    };
    flight.fate = Fate::Answered;
    let mut response = Response::new(Tracked::whole(Bytes::from_static(b"probe\n"), flight));
    *response.status_mut() = status;
    response
}

/// Reads the request's body as the script wants it read; an error ends the connection (HTTP/2: the stream).
async fn take_body(
    script: &Behaviour,
    flight: &Flight,
    head: &Parts,
    body: Incoming,
) -> io::Result<Upload> {
    let seed = number_in(&head.headers, BODY_SEED);
    match script.early {
        Early::No => read_body(&flight.shared, flight.entry, script.read_delay, seed, body).await,
        Early::ThenDrop => Ok(Upload::default()),
        Early::ThenRead => {
            let (shared, entry, delay) = (flight.shared.clone(), flight.entry, script.read_delay);
            tokio::spawn(async move { read_body(&shared, entry, delay, seed, body).await });
            Ok(Upload::default())
        }
    }
}

async fn read_body(
    shared: &Shared,
    entry: Option<Entry>,
    delay: Duration,
    seed: Option<u64>,
    mut body: Incoming,
) -> io::Result<Upload> {
    const KEPT: usize = 64 * 1024;
    let mut checker = pattern::Checker::new(seed.unwrap_or(0));
    let mut upload = Upload {
        is_intact: true,
        ..Upload::default()
    };
    let end = loop {
        match body.frame().await {
            None => break Ok(()),
            Some(Err(e)) => break Err(io::Error::other(e)),
            Some(Ok(frame)) => {
                let bytes = frame.into_data().unwrap_or_default();
                checker.feed(&bytes);
                upload.bytes = checker.seen();
                upload.is_intact = seed.is_none() || checker.is_intact();
                let room = KEPT.saturating_sub(upload.head.len()).min(bytes.len());
                upload
                    .head
                    .extend_from_slice(bytes.get(..room).unwrap_or_default());
                note(shared, entry, &upload, false);
                sleep_if(delay).await;
                shared.wait_open().await;
            }
        }
    };
    note(shared, entry, &upload, end.is_ok());
    end.map(|()| upload)
}

fn note(shared: &Shared, entry: Option<Entry>, upload: &Upload, is_complete: bool) {
    if let Some(entry) = entry {
        shared.ledger.update(entry, |seen| {
            seen.body_bytes = upload.bytes;
            seen.body_intact = upload.is_intact;
            seen.body_complete = is_complete;
        });
    }
}

/// Carries out the faults that replace the head; returns only for the others.
async fn break_head(fault: Fault, flight: &mut Flight) {
    let cut = match fault {
        Fault::ResetBeforeHead => Cut::Reset,
        Fault::CloseBeforeHead => Cut::Close,
        Fault::Garbage => {
            flight
                .conn
                .write_raw(b"HTTQ/9.9 abc\r\n\x00\x01nothing: sensible\r\n\r\n");
            sleep(LAG).await;
            Cut::Close
        }
        Fault::ResetAfterHead | Fault::Truncate => return,
    };
    flight.fate = Fate::Faulted;
    flight.conn.cut(cut);
    std::future::pending::<()>().await;
}

fn respond(
    script: &Behaviour,
    flight: Flight,
    head: &Parts,
    upload: Upload,
    fault: Option<Fault>,
) -> Response<Tracked> {
    let status = if flight.shared.draw(script.error_share) {
        script.error_status
    } else {
        let of_path = path_number(head, "/status/").and_then(|code| u16::try_from(code).ok());
        script.status.or(of_path).unwrap_or(200)
    };
    let status = status_of(status);
    let (content, kind) = content(script, &flight.shared, head, &upload);
    let mut fields = HeaderMap::new();
    fill_fields(&mut fields, script, head, &content, kind);
    if let Ok(name) = HeaderValue::from_str(&flight.shared.name) {
        fields.insert(HeaderName::from_static(SERVED_BY), name);
    }
    flight.note_status(status.as_u16());
    let has_body = head.method != Method::HEAD
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED;
    let body = if has_body {
        body_of(content, script, flight, fault, head.version)
    } else {
        Tracked::none(flight)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}

fn fill_fields(
    fields: &mut HeaderMap,
    script: &Behaviour,
    head: &Parts,
    content: &Content,
    kind: &'static str,
) {
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(id) = head.headers.get(TEST_ID) {
        fields.insert(TEST_ID, id.clone());
    }
    if let Content::Pattern { seed, length, .. } = content {
        fields.insert(HeaderName::from_static(BODY_SEED), HeaderValue::from(*seed));
        fields.insert(
            HeaderName::from_static(BODY_BYTES),
            HeaderValue::from(*length),
        );
    }
    if let Some(length) = content.declared() {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if matches!(content, Content::WithTrailers(_)) {
        fields.insert(TRAILER, HeaderValue::from_static("x-trailer"));
    }
    if script.close_after_answer && head.version < Version::HTTP_2 {
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    for (name, value) in &script.headers {
        fields.append(name, value.clone());
    }
}

fn content(
    script: &Behaviour,
    shared: &Shared,
    head: &Parts,
    upload: &Upload,
) -> (Content, &'static str) {
    let answer = match &script.answer {
        Answer::ByPath => Answer::of_path(head.uri.path()),
        fixed => fixed.clone(),
    };
    let id = id_of(&head.headers);
    let seed = pattern::seed(&id);
    let text = || Bytes::from(format!("{} {id}\n", shared.name));
    const OCTETS: &str = "application/octet-stream";
    match answer {
        Answer::ByPath | Answer::Text => (Content::Whole(text()), "text/plain"),
        Answer::Echo => (
            Content::Whole(echo(shared, head, upload)),
            "application/json",
        ),
        Answer::Bytes(length) => (
            Content::Pattern {
                seed,
                length,
                is_declared: true,
            },
            OCTETS,
        ),
        Answer::Chunked(length) => (
            Content::Pattern {
                seed,
                length,
                is_declared: false,
            },
            OCTETS,
        ),
        Answer::Events(count) => (Content::Events(count), "text/event-stream"),
        Answer::Upload => {
            let report = serde_json::json!({ "bytes": upload.bytes, "intact": upload.is_intact });
            (
                Content::Whole(report.to_string().into()),
                "application/json",
            )
        }
        Answer::Trailers => (Content::WithTrailers(text()), "text/plain"),
    }
}

fn echo(shared: &Shared, head: &Parts, upload: &Upload) -> Bytes {
    let fields: Vec<(&str, String)> = head
        .headers
        .iter()
        .map(|(name, value)| {
            (
                name.as_str(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let seen = serde_json::json!({
        "server": shared.name,
        "method": head.method.as_str(),
        "path": head.uri.path_and_query().map_or("", |path| path.as_str()),
        "authority": head.uri.authority().map(|authority| authority.as_str()),
        "version": format!("{:?}", head.version),
        "headers": fields,
        "body": String::from_utf8_lossy(&upload.head),
        "body_bytes": upload.bytes,
    });
    Bytes::from(seen.to_string())
}

// === impl Shared ===

impl Shared {
    /// Whether an event of this probability happens now.
    fn draw(&self, share: f64) -> bool {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        share > 0.0 && rng.random_bool(share.min(1.0))
    }
}

fn seen_of(head: &Parts, connection: u64) -> Seen {
    let attempt = number_in(&head.headers, "x-lb-attempt");
    Seen {
        id: id_of(&head.headers),
        method: head.method.to_string(),
        path: head
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        attempt: attempt.and_then(|number| u32::try_from(number).ok()),
        at: Instant::now(),
        connection,
        body_bytes: 0,
        body_complete: false,
        body_intact: true,
        status: 0,
        fate: Fate::Pending,
    }
}

fn id_of(fields: &HeaderMap) -> String {
    let field = fields.get(TEST_ID).or_else(|| fields.get("x-request-id"));
    field
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

fn number_in(fields: &HeaderMap, name: &str) -> Option<u64> {
    fields.get(name)?.to_str().ok()?.parse().ok()
}

fn path_number(head: &Parts, prefix: &str) -> Option<u64> {
    head.uri.path().strip_prefix(prefix)?.parse().ok()
}

fn status_of(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

pub(super) async fn sleep_if(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
