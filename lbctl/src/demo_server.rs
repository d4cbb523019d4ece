//! `lbctl demo-server`: a server of the demo.
//!
//! One small process a server, so that each can be killed, frozen and started on its own. It answers
//! every request with its name, so that a loop of `curl` shows who serves.

use crate::args::DemoServerArgs;
use crate::failure::{Exit, Failure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at one time; further ones wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 1024;
/// Idle time of a connection; longer than a balancer keeps one by default.
const IDLE: Duration = Duration::from_secs(75);
/// Pause after the system refused to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

struct Server {
    name: String,
    region: String,
    served_by: HeaderValue,
    requests: AtomicU64,
}

#[derive(Serialize)]
struct Hello<'a> {
    server: &'a str,
    region: &'a str,
    method: &'a str,
    path: &'a str,
    request: u64,
}

/// Serves until it is killed, or until its parent is gone.
pub(crate) fn run(args: &DemoServerArgs) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::new(
            Exit::Failed,
            format!("can't serve on {}: {error}", args.address),
        )
    };
    let served_by = HeaderValue::try_from(&args.name)
        .map_err(|error| Failure::new(Exit::Usage, format!("--name: {error}")))?;
    let server = Arc::new(Server {
        name: args.name.clone(),
        region: args.region.clone(),
        served_by,
        requests: AtomicU64::new(0),
    });
    if args.exit_with_parent {
        std::thread::spawn(exit_with_parent);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.address).await.map_err(failed)?;
        eprintln!("{} listens on {}", args.name, args.address);
        accept(listener, server).await;
        Ok(())
    })
}

/// The parent holds the other end of standard input and never writes: its end is the parent's end.
fn exit_with_parent() {
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    std::process::exit(0);
}

async fn accept(listener: TcpListener, server: Arc<Server>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let server = Arc::clone(&server);
                tokio::spawn(async move {
                    serve(stream, server).await;
                    drop(place);
                });
            }
            Err(error) => {
                eprintln!("can't accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, server: Arc<Server>) {
    // Small answers must not wait for the peer's acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let response = server.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        eprintln!("a connection ended early: {error}");
    }
}

// === impl Server ===

impl Server {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let mut response = if request.uri().path() == "/healthz" {
            Response::new(Full::from("ok\n"))
        } else {
            let mut response = Response::new(Full::from(self.hello(request)));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        };
        response
            .headers_mut()
            .insert("x-served-by", self.served_by.clone());
        response
    }

    fn hello<B>(&self, request: &Request<B>) -> String {
        let hello = Hello {
            server: &self.name,
            region: &self.region,
            method: request.method().as_str(),
            path: request.uri().path(),
            request: self.requests.fetch_add(1, Ordering::Relaxed) + 1,
        };
        serde_json::to_string(&hello).unwrap_or_default() + "\n"
    }
}
