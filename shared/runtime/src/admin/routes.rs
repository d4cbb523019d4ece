//! Which path answers with what.

use super::answer::{self, Body};
use super::gate::{Gate, Visitor};
use super::{AdminSource, query, write};
use http::header::IF_NONE_MATCH;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use lb_core::status::Readiness;
use std::fmt::Write;

const PATHS: &str = "paths: /livez /readyz /metrics /api/v1/{status,regions,pools,region-status,replica,explain,config,drains,state,handover}";

/// Answers one request.
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
    match *request.method() {
        Method::GET | Method::HEAD => read(source, gate, visitor, &request),
        Method::POST => write::answer(source, gate, visitor, request).await,
        _ => answer::method_not_allowed(),
    }
}

/// The request's body is never looked at.
fn read<B>(
    source: &dyn AdminSource,
    gate: &Gate,
    visitor: &Visitor,
    request: &Request<B>,
) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default();
    match request.uri().path() {
        "/livez" => livez(source),
        "/readyz" => readyz(source, query),
        "/metrics" => answer::metrics(source.metrics()),
        "/api/v1/status" => answer::json(&source.status()),
        "/api/v1/regions" => answer::json(&source.status().regions),
        "/api/v1/pools" => answer::json(&source.status().pools),
        "/api/v1/config" => answer::json(&source.status().config),
        "/api/v1/handover" => answer::json(&source.handover()),
        "/api/v1/region-status" => region_status(source),
        "/api/v1/replica" => replica(source),
        "/api/v1/explain" => explain(source, query),
        "/api/v1/drains" => answer::json(&source.drains()),
        "/api/v1/state" => match gate.read(visitor, request.headers()) {
            Ok(()) => state(source, request.headers()),
            Err(turned) => answer::error(turned.status, &turned.error, turned.hint),
        },
        other => answer::error(
            StatusCode::NOT_FOUND,
            &format!("there is nothing at {other}"),
            PATHS,
        ),
    }
}

fn livez(source: &dyn AdminSource) -> Response<Body> {
    if source.live() {
        answer::text(StatusCode::OK, "live\n".to_owned())
    } else {
        answer::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "not live: an event loop has stopped turning\n".to_owned(),
        )
    }
}

fn readyz(source: &dyn AdminSource, query: &str) -> Response<Body> {
    let readiness = source.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut body = readiness_text(&readiness);
    if form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "verbose") {
        let status = source.status();
        // Writing to a string can't fail.
        let _ = write!(
            body,
            "lifecycle: {}\ntier: {}\nreplica: {}\nconfig: generation {}\ninflight: {}\n",
            status.lifecycle.as_str(),
            status.tier.as_str(),
            status.replica,
            status.config.generation,
            status.inflight,
        );
    }
    answer::text(status, body)
}

fn readiness_text(readiness: &Readiness) -> String {
    let mut text = if readiness.ready {
        "ready\n"
    } else {
        "not ready\n"
    }
    .to_owned();
    for task in &readiness.pending {
        let _ = writeln!(text, "pending: {task}");
    }
    text
}

fn region_status(source: &dyn AdminSource) -> Response<Body> {
    match source.region_report() {
        Some(report) => answer::json(&report),
        None => answer::error(
            StatusCode::NOT_FOUND,
            "this replica reports on no region",
            "ask a replica of a regional tier; the global tier's view is at /api/v1/regions",
        ),
    }
}

/// For its peers: one that is stuck counts as little as one that is silent.
fn replica(source: &dyn AdminSource) -> Response<Body> {
    if source.live() {
        answer::json(&source.identity())
    } else {
        livez(source)
    }
}

/// For its peers, which ask every two seconds and mostly know it.
fn state(source: &dyn AdminSource, fields: &HeaderMap) -> Response<Body> {
    let sheet = source.sheet();
    let known = fields
        .get(IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| known.trim_matches('"') == sheet.hash) {
        return answer::not_modified(&sheet.hash);
    }
    answer::tagged(answer::json(&sheet), &sheet.hash)
}

fn explain(source: &dyn AdminSource, query: &str) -> Response<Body> {
    match query::parse(query).and_then(|request| source.explain(&request)) {
        Ok(explained) => answer::json(&explained),
        Err(reason) => answer::error(StatusCode::BAD_REQUEST, &reason, query::HINT),
    }
}
