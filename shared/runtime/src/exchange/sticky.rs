//! A request's cookie: the server or region that it names, and the one that the response sets.

use super::request::Request;
use crate::listen::Connection;
use crate::plan::Action;
use crate::upstream::{Endpoint, Pool, cookie};
use http::HeaderValue;
use pingora_http::RequestHeader;
use std::sync::Arc;

/// What a request to a pool or to regions with a cookie brought along.
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
    /// One that names this server or region.
    Target(String),
}

impl Request {
    /// Reads the cookie, when the pool or the route over regions has one.
    pub(super) fn pin(&mut self, head: &RequestHeader, connection: Connection) {
        let sticky = match &self.rule.action {
            Action::Pool(pool) => pool.sticky.as_ref(),
            Action::Regions(route) => route.sticky.as_ref(),
            Action::Redirect(_) => None,
        };
        let Some(sticky) = sticky else { return };
        let forwarded = head.headers.get("x-forwarded-proto");
        let https = forwarded.is_some_and(|proto| proto.as_bytes() == b"https");
        let brought = match cookie(&head.headers, &sticky.cookie) {
            None => Brought::Nothing,
            Some(value) => match sticky.target(value) {
                Err(_) => Brought::Bad,
                Ok(target) => Brought::Target(target.to_owned()),
            },
        };
        if let (Action::Regions(route), Brought::Target(region)) = (&self.rule.action, &brought) {
            self.ask.sticky = route.position(region);
        }
        self.pinned = Some(Pinned {
            brought,
            secure: connection.tls || (self.trusted && https),
        });
    }

    /// The endpoint that the cookie names, when it takes requests and was not tried.
    pub(super) fn pinned_in(&self, pool: &Pool) -> Option<Arc<Endpoint>> {
        match &self.pinned.as_ref()?.brought {
            Brought::Target(server) => pool.named(server, &self.tries.endpoints),
            _ => None,
        }
    }

    /// The cookie to set, unless the user has the right one.
    pub(super) fn set_cookie(&self) -> Option<HeaderValue> {
        let pinned = self.pinned.as_ref()?;
        let (sticky, served) = match &self.rule.action {
            Action::Pool(pool) => {
                let last = self.tries.last.as_ref()?;
                (pool.sticky.as_ref()?, last.key.server.as_str())
            }
            Action::Regions(route) => {
                let (index, _) = self.tries.region?;
                // A header, or a refusal for overload, sends one request elsewhere and not its user.
                let home = self.ask.sticky;
                let is_lent = home.is_some() && home == self.tries.refused_by;
                if is_lent || self.ask.demanded == Some(index) {
                    return None;
                }
                let region = route.set.regions.get(index)?;
                (route.sticky.as_ref()?, region.name.as_str())
            }
            Action::Redirect(_) => return None,
        };
        match &pinned.brought {
            Brought::Target(target) if target == served => {
                sticky.kept.inc();
                return None;
            }
            Brought::Target(_) => sticky.moved.inc(),
            Brought::Bad => sticky.bad.inc(),
            Brought::Nothing => sticky.fresh.inc(),
        }
        sticky.set(served, pinned.secure)
    }
}
