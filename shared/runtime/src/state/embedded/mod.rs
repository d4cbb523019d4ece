//! The store that needs no other program: the replicas tell each other.
//!
//! # Choice
//! Each replica asks every peer for all its orders each two seconds, and whoever takes an order tells it to all of them at once. The
//! question costs the same whether much happens or nothing, so there is no mode in which it fails differently than every day; the
//! telling makes it quick. Who was away hears of everything within two seconds of coming back, from anyone. Merging is the book's
//! affair and doesn't depend on who says what when.
//!
//! # Limits
//! Peers show each other the token of `admin.token_file`. Without one, nobody may tell anything, and orders take until the next
//! question.

mod known;

use self::known::Directory;
use super::http::{self, Reply};
use super::store::{Look, StateStore, WriteError};
use super::{MergeError, Orders};
use crate::admin::{REQUEST_FIELD, TokenFile};
use crate::clock;
use crate::peers::Peers;
use ::http::header::{AUTHORIZATION, HOST, IF_NONE_MATCH};
use ::http::{Method, Request, StatusCode};
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use lb_core::config::model::StoreKind;
use lb_core::drain::{Record, Snapshot};
use lb_core::status::{PeerAck, Sheet, SheetAck};
use lb_core::time::Instant;
use prometheus::IntCounterVec;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, timeout};

/// How often each peer is asked.
const INTERVAL: Duration = Duration::from_secs(2);
/// Time for its answer.
const PULL: Duration = Duration::from_millis(1500);
/// Time for its word on an order.
const PUSH: Duration = Duration::from_secs(1);
const PATH: &str = "/api/v1/state";

/// The peers as a store.
#[derive(Debug)]
pub(crate) struct Embedded {
    peers: Arc<Peers>,
    /// As the file names them, for the start.
    configured: Vec<String>,
    tokens: Option<TokenFile>,
    known: Directory,
    syncs: Option<IntCounterVec>,
}

// === impl Embedded ===

impl Embedded {
    pub(crate) fn new(
        peers: Arc<Peers>,
        configured: Vec<String>,
        tokens: Option<TokenFile>,
    ) -> Self {
        Self {
            peers,
            configured,
            tokens,
            known: Directory::default(),
            syncs: None,
        }
    }

    /// Counts its questions.
    pub(crate) fn counted(mut self, syncs: IntCounterVec) -> Self {
        self.syncs = Some(syncs);
        self
    }

    /// Asks a peer for all it knows; true when it has answered and belongs to us.
    async fn pull(&self, orders: &Orders, address: SocketAddr) -> bool {
        let answered = timeout(PULL, self.fetch(orders, address)).await;
        let (result, label) = match answered {
            Err(_) => (Err(format!("no answer within {PULL:?}")), "failed"),
            Ok(Ok(None)) => (Ok(true), "unchanged"),
            Ok(Ok(Some(sheet))) => self.merge(orders, address, &sheet),
            Ok(Err((error, label))) => (Err(error), label),
        };
        if let Some(syncs) = &self.syncs {
            syncs.with_label_values(&[label]).inc();
        }
        if label == "unchanged" {
            self.known.agrees(address, orders.hash(), clock::now());
        }
        match result {
            Ok(is_ours) => is_ours,
            Err(error) => {
                self.known.fault(address, error, clock::now());
                false
            }
        }
    }

    /// What a peer knows; none when it is what we know.
    async fn fetch(
        &self,
        orders: &Orders,
        address: SocketAddr,
    ) -> Result<Option<Sheet>, (String, &'static str)> {
        let failed = |error: String| (error, "failed");
        let request = self.request(Method::GET, address, Some(orders.hash()), Bytes::new());
        let reply = ask(address, request.map_err(failed)?).await;
        let reply = reply.map_err(|error| failed(format!("{error:#}")))?;
        if let Some(ahead_ms) = reply.ahead_ms {
            self.known.tells_time(address, ahead_ms, clock::now());
        }
        match reply.status {
            StatusCode::NOT_MODIFIED => Ok(None),
            StatusCode::UNAUTHORIZED => Err((denied(&reply), "denied")),
            StatusCode::NOT_FOUND => Err(failed(
                "it knows nothing of orders: an earlier version".to_owned(),
            )),
            status if status.is_success() => match serde_json::from_slice(&reply.body) {
                Ok(sheet) => Ok(Some(sheet)),
                Err(error) => Err(failed(format!("its answer can't be read: {error}"))),
            },
            _ => Err(failed(reply.complaint())),
        }
    }

    fn merge(
        &self,
        orders: &Orders,
        address: SocketAddr,
        sheet: &Sheet,
    ) -> (Result<bool, String>, &'static str) {
        if orders.is_me(&sheet.from) {
            self.known.forget(address);
            return (Ok(false), "itself");
        }
        match orders.merge(sheet) {
            Ok(_) => {
                self.known
                    .hear(address, &sheet.from.replica, &sheet.hash, clock::now());
                (Ok(true), "ok")
            }
            Err(MergeError::Foreign(_)) => {
                self.known.forget(address);
                (Ok(false), "foreign")
            }
            Err(error) => (Err(error.to_string()), "refused"),
        }
    }

    /// Tells a peer of an order.
    async fn push(&self, address: SocketAddr, body: Bytes) -> PeerAck {
        let said = async {
            let request = self.request(Method::POST, address, None, body);
            let reply = ask(address, request?)
                .await
                .map_err(|error| format!("{error:#}"))?;
            match reply.status {
                StatusCode::UNAUTHORIZED => Err(denied(&reply)),
                status if status.is_success() => serde_json::from_slice::<SheetAck>(&reply.body)
                    .map_err(|error| format!("its answer can't be read: {error}")),
                _ => Err(reply.complaint()),
            }
        };
        let said = timeout(PUSH, said).await;
        let said = said.unwrap_or_else(|_| Err(format!("no answer within {PUSH:?}")));
        let mut ack = PeerAck {
            replica: self.known.name(address),
            address: address.to_string(),
            ..PeerAck::default()
        };
        match said {
            Ok(said) => {
                self.known
                    .hear(address, &said.from.replica, &said.hash, clock::now());
                ack.replica = said.from.replica;
                (ack.applied, ack.durable) = (true, said.durable);
            }
            Err(error) => ack.error = Some(error),
        }
        ack
    }

    fn request(
        &self,
        method: Method,
        address: SocketAddr,
        known: Option<String>,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder().method(method).uri(PATH);
        request = request
            .header(HOST, address.to_string())
            .header(REQUEST_FIELD, "1");
        if let Some(tokens) = &self.tokens {
            let token = tokens.token().map_err(|error| error.to_string())?;
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(known) = known {
            request = request.header(IF_NONE_MATCH, format!("\"{known}\""));
        }
        request
            .body(Full::new(body))
            .map_err(|error| error.to_string())
    }

    /// Where the peers are before anything is known of them.
    async fn resolve(&self) -> Vec<SocketAddr> {
        let lookups = self.configured.iter().map(|peer| async move {
            let found = tokio::net::lookup_host(peer).await;
            found.map(Iterator::collect::<Vec<_>>).unwrap_or_default()
        });
        let mut all: Vec<SocketAddr> = join_all(lookups).await.concat();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[async_trait::async_trait]
impl StateStore for Embedded {
    fn kind(&self) -> StoreKind {
        StoreKind::Embedded
    }

    fn is_durable(&self) -> bool {
        false
    }

    async fn load(&self, orders: &Orders) -> Result<bool, String> {
        let addresses = self.resolve().await;
        self.known.keep(&addresses, clock::now());
        let asked = addresses.iter().map(|address| self.pull(orders, *address));
        Ok(join_all(asked).await.contains(&true))
    }

    async fn write(&self, _: &Record, _: u64) -> Result<(), WriteError> {
        Ok(())
    }

    async fn spread(&self, orders: &Orders, record: &Record) -> Vec<PeerAck> {
        let mut sheet = orders.sheet();
        sheet.snapshot = Snapshot {
            format: Snapshot::FORMAT,
            records: vec![record.clone()],
        };
        let body = Bytes::from(serde_json::to_vec(&sheet).unwrap_or_default());
        let addresses = self.peers.addresses();
        let told = addresses
            .iter()
            .map(|address| self.push(*address, body.clone()));
        join_all(told).await
    }

    async fn watch(&self, orders: &Orders) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let addresses = self.peers.addresses();
            self.known.keep(&addresses, clock::now());
            let asked = addresses.iter().map(|address| self.pull(orders, *address));
            join_all(asked).await;
            orders.catch_up().await;
        }
    }

    async fn forget(&self, _: &[Record]) {}

    fn look(&self, now: Instant) -> Look {
        self.known.look(now)
    }
}

async fn ask(address: SocketAddr, request: Request<Full<Bytes>>) -> anyhow::Result<Reply> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    http::ask(stream, request).await
}

fn denied(reply: &Reply) -> String {
    format!(
        "it does not take this replica's token ({}): give both the same admin.token_file",
        reply.complaint()
    )
}
