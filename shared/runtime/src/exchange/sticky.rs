//! A request's cookie: the server that it names, and the one that the response sets.

use super::request::Request;
use super::select::cookie;
use crate::listen::Connection;
use crate::plan::Action;
use crate::upstream::{Endpoint, Pool};
use http::HeaderValue;
use pingora_http::RequestHeader;
use std::sync::Arc;

/// What a request to a pool with a cookie brought along.
#[derive(Debug)]
pub(super) struct Pinned {
    brought: Brought,
    /// The response's cookie is for TLS only.
    secure: bool,
}

#[derive(Debug)]
enum Brought {
    /// No cookie of this name.
    Nothing,
    /// One that is changed, made up or too old.
    Bad,
    /// One that names this server.
    Server(String),
}

impl Request {
    /// Reads the cookie, when the pool has one.
    pub(super) fn pin(&mut self, head: &RequestHeader, connection: Connection) {
        let Action::Pool(pool) = &self.rule.action else {
            return;
        };
        let Some(sticky) = &pool.sticky else { return };
        let forwarded = head.headers.get("x-forwarded-proto");
        let https = forwarded.is_some_and(|proto| proto.as_bytes() == b"https");
        self.pinned = Some(Pinned {
            brought: match cookie(head, &sticky.cookie) {
                None => Brought::Nothing,
                Some(value) => match sticky.server(value) {
                    None => Brought::Bad,
                    Some(server) => Brought::Server(server.to_owned()),
                },
            },
            secure: connection.tls || (self.trusted && https),
        });
    }

    /// The endpoint that the cookie names, when it takes requests and was not tried.
    pub(super) fn pinned_in(&self, pool: &Pool) -> Option<Arc<Endpoint>> {
        match &self.pinned.as_ref()?.brought {
            Brought::Server(server) => pool.named(server, &self.tries.endpoints),
            _ => None,
        }
    }

    /// The cookie to set, unless the user has the right one.
    pub(super) fn set_cookie(&self) -> Option<HeaderValue> {
        let pinned = self.pinned.as_ref()?;
        let sticky = self.tries.pool.as_ref()?.sticky.as_ref()?;
        let served = self.tries.last.as_ref()?.key.server.as_str();
        match &pinned.brought {
            Brought::Server(server) if server == served => {
                sticky.kept.inc();
                return None;
            }
            Brought::Server(_) => sticky.moved.inc(),
            Brought::Bad => sticky.bad.inc(),
            Brought::Nothing => sticky.fresh.inc(),
        }
        sticky.set(served, pinned.secure)
    }
}
