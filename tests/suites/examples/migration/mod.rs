//! The worked examples of `docs/migrating.md`: another load balancer and ours in front of the same servers.
//!
//! A page that says "this setting is that one" is wrong sooner or later, and nobody notices. So the original file is run by
//! the real nginx, HAProxy or Envoy, ours by our programs, both are asked the same, and what the servers saw and
//! the client got is compared. Where the page says that something differs, the difference is asserted.
//!
//! Originals are in `tests/migration`, since all YAML in `conf/` is ours; addresses of both are put into free ones alike.

mod envoy;
mod haproxy;
mod ingress_nginx;
mod page;
mod pair;

/// Directories of the examples.
pub(crate) const NAMES: [&str; 3] = ["ingress-nginx", "haproxy", "envoy"];
