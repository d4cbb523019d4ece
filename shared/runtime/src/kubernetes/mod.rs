//! An API server of Kubernetes: how it is reached, what its complaints mean, and following what changes there.
//!
//! # Choice
//! The crate `kube` knows kubeconfig files, the environment of a pod, pages, watches and the types. It is used for single calls
//! ([`Access`]); what happens between them, pauses, deadlines and what a broken stream means, is [`Follow`]'s.
//!
//! A client is made anew after each fault and once a minute, on the event loop that uses it: so a service account's token that was
//! renewed, another authority or another address in the file take effect without any watch on files, and a client never outlives the
//! event loop that drives its connections. Nothing here is in the way of the start: an API server that is away is a fault that is told.
//!
//! TLS is rustls with the provider *ring*, as everywhere here. No process-wide provider has to be installed: rustls finds the only one
//! that it is built with.
//!
//! # Rejected
//! *`kube-runtime`'s `watcher`*: when a stream ends it opens the next at once, so an API server, or a proxy before it, that ends each of
//! them at once is asked as fast as it answers (3,400 times a second on one machine: the suite `state` holds that number); and it
//! keeps bookmarks and reopened streams to itself, so that nobody can tell how old what is known is. *`Config::infer`*: it takes
//! `~/.kube/config`, `KUBECONFIG` and debug overrides from the environment; an address is only taken from a configuration file, or from the
//! pod's own environment. *`exec` and `auth-provider` in a kubeconfig*: they run programs, in a process that must not wait.
//!
//! # Limits
//! The API server is trusted with memory for one answer, whose length isn't limited; how many objects are followed is. No HTTP proxies, also not those of the environment.
//! `insecure-skip-tls-verify` is obeyed: whoever writes the file says so.
//!
//! # Source
//! Kubernetes documentation: API concepts (watches, bookmarks, 410 Gone), accessing the API from a pod. kube 5.0.

mod bound;
mod client;
mod fault;
mod follow;
mod pace;
mod pause;
mod which;

pub(crate) use bound::Bound;
pub(crate) use client::Access;
pub(crate) use fault::{Fault, Kind};
pub(crate) use follow::{Change, Follow};
pub(crate) use pace::Pace;
