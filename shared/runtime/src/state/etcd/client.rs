//! Calls to an etcd: its members in turn, each with a deadline, and the log-in where one is asked for.

use super::tls::Secured;
use crate::state::http::{self, Reply};
use ::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use ::http::{Request, Response, StatusCode};
use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use lb_core::config::model::Etcd as Settings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time for one member to answer.
const DEADLINE: Duration = Duration::from_secs(1);

/// A client of an etcd.
#[derive(Debug)]
pub(crate) struct Client {
    endpoints: Vec<String>,
    /// The member that is asked first: the one that answered last.
    first: AtomicUsize,
    secured: Option<Secured>,
    user: Option<(String, PathBuf)>,
    /// What a log-in gave.
    pass: Mutex<Option<String>>,
    ahead_ms: Mutex<Option<i64>>,
}

// === impl Client ===

impl Client {
    /// Reads the files that `settings` names, but for the password, which is read at each log-in.
    ///
    /// # Errors
    /// A file can't be used; the message names it.
    pub(crate) fn new(settings: &Settings, base: &Path) -> anyhow::Result<Self> {
        let tls = settings.tls.as_ref();
        let user = settings.user.clone().zip(settings.password_file.as_ref());
        Ok(Self {
            endpoints: settings.endpoints.clone(),
            first: AtomicUsize::new(0),
            ahead_ms: Mutex::new(None),
            secured: tls.map(|tls| Secured::new(tls, base)).transpose()?,
            user: user.map(|(user, file)| (user, base.join(file))),
            pass: Mutex::default(),
        })
    }

    /// Goes on to the next member.
    pub(super) fn next(&self) {
        self.first.fetch_add(1, Relaxed);
    }

    /// Asks the members in turn until one answers.
    ///
    /// # Errors
    /// What each of them said; a write may have happened nevertheless.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, String> {
        let body = Bytes::from(serde_json::to_vec(body).unwrap_or_default());
        let mut faults = Vec::new();
        // Others ask at the same time: each goes round all members from where it began.
        let begin = self.first.load(Relaxed);
        for turn in begin..begin + self.endpoints.len() {
            let endpoint = self.endpoint(turn);
            let asked = timeout(DEADLINE, self.ask_logged_in(endpoint, path, &body)).await;
            let answer =
                asked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {DEADLINE:?}")));
            match answer.and_then(|reply| understood(&reply)) {
                Ok(value) => {
                    self.first
                        .store(turn % self.endpoints.len().max(1), Relaxed);
                    return Ok(value);
                }
                Err(error) => faults.push(format!("{endpoint}: {error:#}")),
            }
        }
        Err(format!("no member of etcd answers ({})", faults.join("; ")))
    }

    /// Opens a stream at the member that answered last.
    ///
    /// # Errors
    /// It doesn't answer, or refuses.
    pub(super) async fn stream(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Incoming, String> {
        let body = Bytes::from(serde_json::to_vec(body).unwrap_or_default());
        let endpoint = self.endpoint(self.first.load(Relaxed));
        let opened = timeout(DEADLINE, self.send(endpoint, path, body)).await;
        let opened =
            opened.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {DEADLINE:?}")));
        let response = opened.map_err(|error| format!("etcd {endpoint}: {error:#}"))?;
        if response.status() != StatusCode::OK {
            self.log_out();
            return Err(format!(
                "etcd {endpoint} refuses the watch: {}",
                response.status()
            ));
        }
        Ok(response.into_body())
    }

    async fn ask_logged_in(
        &self,
        endpoint: &str,
        path: &str,
        body: &Bytes,
    ) -> anyhow::Result<Reply> {
        if self.user.is_some() && self.pass().is_none() {
            self.log_in(endpoint).await?;
        }
        let reply = self.ask(endpoint, path, body.clone()).await?;
        // The log-in has run out, or the store was set up anew.
        let is_out =
            reply.status == StatusCode::UNAUTHORIZED || reply.complaint().contains("auth token");
        if self.user.is_none() || reply.status.is_success() || !is_out {
            return Ok(reply);
        }
        self.log_in(endpoint).await?;
        self.ask(endpoint, path, body.clone()).await
    }

    async fn log_in(&self, endpoint: &str) -> anyhow::Result<()> {
        #[derive(serde::Deserialize)]
        struct Pass {
            token: String,
        }
        let Some((user, file)) = &self.user else {
            return Ok(());
        };
        let password = std::fs::read_to_string(file)
            .with_context(|| format!("state.etcd.password_file {}", file.display()))?;
        let body = serde_json::json!({ "name": user, "password": password.trim_end() });
        self.log_out();
        let body = Bytes::from(serde_json::to_vec(&body)?);
        let reply = self.ask(endpoint, "/v3/auth/authenticate", body).await?;
        let pass: Pass = understood(&reply).with_context(|| format!("log-in as {user}"))?;
        *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = Some(pass.token);
        Ok(())
    }

    /// How far the clock of the member that answered last is ahead of this one, in milliseconds.
    pub(super) fn ahead_ms(&self) -> Option<i64> {
        *self.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_out(&self) {
        *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn pass(&self) -> Option<String> {
        self.pass
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn ask(&self, endpoint: &str, path: &str, body: Bytes) -> anyhow::Result<Reply> {
        let stream = TcpStream::connect(endpoint).await?;
        let request = self.request(endpoint, path, body)?;
        let reply = match &self.secured {
            None => http::ask(stream, request).await?,
            Some(tls) => http::ask(tls.connect(endpoint, stream).await?, request).await?,
        };
        *self.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner) = reply.ahead_ms;
        Ok(reply)
    }

    async fn send(
        &self,
        endpoint: &str,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let stream = TcpStream::connect(endpoint).await?;
        let request = self.request(endpoint, path, body)?;
        match &self.secured {
            None => http::send(stream, request).await,
            Some(tls) => http::send(tls.connect(endpoint, stream).await?, request).await,
        }
    }

    fn request(
        &self,
        endpoint: &str,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::post(path)
            .header(HOST, endpoint)
            .header(CONTENT_TYPE, "application/json");
        if let Some(pass) = self.pass() {
            request = request.header(AUTHORIZATION, pass);
        }
        Ok(request.body(Full::new(body))?)
    }

    fn endpoint(&self, turn: usize) -> &str {
        let at = turn % self.endpoints.len().max(1);
        self.endpoints.get(at).map_or("", String::as_str)
    }
}

fn understood<T: DeserializeOwned>(reply: &Reply) -> anyhow::Result<T> {
    anyhow::ensure!(reply.status.is_success(), "{}", reply.complaint());
    serde_json::from_slice(&reply.body).context("its answer can't be read")
}
