//! Connections and requests.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::access::Wish;
use super::faults::{Fault, Verb};
use super::route::Ask;
use super::select::Selector;
use super::status::Status;
use super::store::Page;
use super::streams::{Lines, Watch};
use super::{Shared, lock};

type Answer = Response<BoxBody<Bytes, io::Error>>;

pub(super) fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket.listen(256)?)
}

pub(super) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    tls: Option<Arc<ServerConfig>>,
) {
    let tls = tls.map(TlsAcceptor::from);
    while let Ok((stream, _)) = listener.accept().await {
        let (owner, tls) = (shared.clone(), tls.clone());
        let mut tasks = lock(&shared.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let _ = stream.set_nodelay(true);
            match tls {
                None => connection::<TcpStream>(stream, owner).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        connection(stream, owner).await;
                    }
                }
            }
        });
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    shared: Arc<Shared>,
) {
    let service = service_fn(move |request| answer(request, shared.clone()));
    // A client that leaves is no fault here.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Without an answer the connection is closed.
async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> io::Result<Answer> {
    let (parts, body) = request.into_parts();
    let ask = match Ask::parse(&parts) {
        Ok(ask) => ask,
        Err(status) => return Ok(refusal(&shared, &status)),
    };
    let fault = {
        let mut state = shared.state();
        state.counts.ask(ask.verb);
        state.faults.of(ask.verb)
    };
    match &fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Slow(time)) => tokio::time::sleep(*time).await,
        Some(Fault::Status(code, after)) => {
            return Ok(refusal(&shared, &Status::commanded(*code, *after)));
        }
        Some(Fault::Garbage) if ask.verb != Verb::Watch => {
            return Ok(whole(
                StatusCode::OK,
                "{\"kind\":\"ConfigMapList\",\"items\":[{".into(),
            ));
        }
        _ => {}
    }
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let made = carry_out(&shared, &parts, &ask, &body, fault.clone());
    shared.tell();
    match made {
        Ok(_) if matches!(fault, Some(Fault::Unanswered)) => Err(io::ErrorKind::BrokenPipe.into()),
        Ok(Made::Stream(watch)) => Ok(stream(&shared, watch)),
        Ok(Made::Object(code, object)) => {
            shared.state().counts.answer(code.as_u16());
            let text = object.to_string();
            if matches!(fault, Some(Fault::Truncated)) {
                return Ok(truncated(&text));
            }
            Ok(whole(code, text))
        }
        Err(status) => Ok(refusal(&shared, &status)),
    }
}

/// What comes of a request.
enum Made {
    Object(StatusCode, Value),
    Stream(Watch),
}

fn carry_out(
    shared: &Shared,
    parts: &Parts,
    ask: &Ask,
    body: &Bytes,
    fault: Option<Fault>,
) -> Result<Made, Status> {
    let mut state = shared.state();
    let shown = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let user = state.access.user(shown).ok_or_else(Status::unauthorized)?;
    let (resource, namespace) = (&ask.resource, ask.namespace.as_deref());
    let (verb, name) = (ask.verb, ask.name.as_deref());
    let selector = Selector::parse(ask.get("labelSelector"), ask.get("fieldSelector"))?;
    // A list of one object by its name is about that name.
    let wish = Wish {
        verb,
        resource,
        namespace,
        name: name.or(selector.name()),
    };
    if let Some(user) = user.filter(|user| !user.may(&wish)) {
        let what = (user.name.as_str(), verb.as_str(), namespace);
        return Err(Status::forbidden(resource, name.unwrap_or_default(), what));
    }
    let mut tried;
    let store = if ask.get("dryRun").is_some() {
        tried = state.store.clone();
        &mut tried
    } else {
        &mut state.store
    };
    let (place, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
    let object = match verb {
        Verb::Watch => return watch(ask, selector, fault).map(Made::Stream),
        Verb::List => {
            let page = Page {
                limit: ask
                    .number("limit")?
                    .and_then(|limit| usize::try_from(limit).ok()),
                token: ask.get("continue").map(str::to_owned),
                version: ask.number("resourceVersion")?,
            };
            store.list(resource, namespace, &selector, &page)?
        }
        Verb::Get => match store.get(resource, place, name) {
            Some(object) => object.clone(),
            None => return Err(Status::not_found(resource, name)),
        },
        Verb::Create => {
            let object = store.create(resource, place, parse(body)?)?;
            return Ok(Made::Object(StatusCode::CREATED, object));
        }
        Verb::Update => store.update(resource, place, name, parse(body)?)?,
        Verb::Patch => {
            let kind = parts
                .headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            if kind != Some("application/merge-patch+json") {
                return Err(Status::unsupported("application/merge-patch+json"));
            }
            store.patch(resource, place, name, &parse(body)?)?
        }
        Verb::Delete => {
            let options = if body.is_empty() {
                Value::Null
            } else {
                parse(body)?
            };
            store.delete(resource, place, name, &options)?
        }
    };
    Ok(Made::Object(StatusCode::OK, object))
}

fn watch(ask: &Ask, selector: Selector, fault: Option<Fault>) -> Result<Watch, Status> {
    if ask.get("sendInitialEvents").is_some() {
        let why = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        return Err(Status::invalid(&ask.resource, "", why));
    }
    let from = ask
        .number("resourceVersion")?
        .filter(|version| *version > 0);
    Ok(Watch {
        resource: ask.resource,
        namespace: ask.namespace.clone(),
        selector,
        from,
        timeout: ask
            .number("timeoutSeconds")?
            .filter(|s| *s > 0)
            .map(Duration::from_secs),
        bookmarks: ask.flag("allowWatchBookmarks"),
        fault,
    })
}

fn parse(body: &Bytes) -> Result<Value, Status> {
    serde_json::from_slice(body)
        .map_err(|error| Status::bad(format!("the object provided is unrecognized: {error}")))
}

fn stream(shared: &Arc<Shared>, watch: Watch) -> Answer {
    shared.state().counts.answer(200);
    let (to, lines) = Lines::new();
    lock(&shared.tasks).spawn(watch.run(shared.clone(), to));
    respond(StatusCode::OK, lines.boxed())
}

fn refusal(shared: &Shared, status: &Status) -> Answer {
    shared.state().counts.answer(status.code);
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = whole(code, status.body().to_string());
    if let Some(seconds) = status.retry_after() {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if code == StatusCode::UNAUTHORIZED {
        let scheme = http::HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    answer
}

fn truncated(text: &str) -> Answer {
    let (to, lines) = Lines::new();
    let half = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
    let _ = to.try_send(Ok(half));
    let _ = to.try_send(Err(io::ErrorKind::ConnectionReset.into()));
    respond(StatusCode::OK, lines.boxed())
}

fn whole(code: StatusCode, text: String) -> Answer {
    let never = |error: Infallible| match error {};
    respond(code, Full::new(Bytes::from(text)).map_err(never).boxed())
}

fn respond(code: StatusCode, body: BoxBody<Bytes, io::Error>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = code;
    let json = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
