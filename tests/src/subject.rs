//! The proxy under test, behind one face: nginx, HAProxy, one tier of ours, or both.
//!
//! A suite written against a [`Subject`] can be proved against a proxy whose behaviour is known before it judges
//! ours, and shows where the peers differ. `STRATA_SUBJECT` chooses: `nginx`, `haproxy`, `regional`, `two-tier`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::process::Process;
use crate::tools::Tool;
use crate::topology::{Platform, Topology};

const START: Duration = Duration::from_secs(10);

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// nginx of the system.
    Nginx,
    /// HAProxy of the system.
    Haproxy,
    /// One `regional-lb`.
    Regional,
    /// One `global-lb` in front of one `regional-lb`.
    TwoTier,
}

/// Protocol towards the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 in the clear, as gRPC needs it.
    H2c,
}

/// A running proxy in front of servers.
#[derive(Debug)]
pub struct Subject {
    /// Which one.
    pub kind: Kind,
    /// Where it takes HTTP/1.1.
    pub http1: SocketAddr,
    /// Where it takes HTTP/2 in the clear; ours take both on one address.
    pub h2c: SocketAddr,
    running: Holder,
}

#[derive(Debug)]
enum Holder {
    Peer {
        process: Box<Process>,
        _dir: TempDir,
    },
    Platform(Box<Platform>),
}

// === impl Kind ===

impl Kind {
    /// The choice of `STRATA_SUBJECT`, nginx by default.
    ///
    /// # Errors
    ///
    /// For an unknown name.
    pub fn from_env() -> Result<Self> {
        match std::env::var("STRATA_SUBJECT").as_deref() {
            Err(_) | Ok("nginx") => Ok(Self::Nginx),
            Ok("haproxy") => Ok(Self::Haproxy),
            Ok("regional") => Ok(Self::Regional),
            Ok("two-tier") => Ok(Self::TwoTier),
            Ok(other) => {
                bail!("STRATA_SUBJECT={other}: want nginx, haproxy, regional or two-tier")
            }
        }
    }

    /// Whether it is one of ours, of which more may be asked.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Regional | Self::TwoTier)
    }
}

// === impl Subject ===

impl Subject {
    /// Starts the proxy that `STRATA_SUBJECT` names in front of HTTP/1.1 servers.
    ///
    /// # Errors
    ///
    /// When it is missing or does not start.
    pub async fn start(servers: &[SocketAddr]) -> Result<Self> {
        Self::start_as(Kind::from_env()?, servers, Upstream::Http1).await
    }

    /// Starts a given proxy.
    ///
    /// # Errors
    ///
    /// When it is missing or does not start.
    pub async fn start_as(kind: Kind, servers: &[SocketAddr], upstream: Upstream) -> Result<Self> {
        let (http1, h2c) = (crate::ports::free()?, crate::ports::free()?);
        let platform = match kind {
            Kind::Nginx | Kind::Haproxy => {
                return Self::start_peer(kind, http1, h2c, servers, upstream).await;
            }
            Kind::Regional => Topology::regional(),
            Kind::TwoTier => Topology::two_tier().globals(1),
        };
        let platform = platform
            .external_pool("web", servers, upstream)
            .start()
            .await?;
        let address = platform.address()?;
        Ok(Self {
            kind,
            http1: address,
            h2c: address,
            running: Holder::Platform(Box::new(platform)),
        })
    }

    /// The peer's process; `None` for ours, see [`Subject::platform`].
    pub fn process(&mut self) -> Option<&mut Process> {
        match &mut self.running {
            Holder::Peer { process, .. } => Some(process),
            Holder::Platform(_) => None,
        }
    }

    /// Our processes; `None` for a peer.
    pub fn platform(&mut self) -> Option<&mut Platform> {
        match &mut self.running {
            Holder::Peer { .. } => None,
            Holder::Platform(platform) => Some(platform),
        }
    }

    async fn start_peer(
        kind: Kind,
        http1: SocketAddr,
        h2c: SocketAddr,
        servers: &[SocketAddr],
        upstream: Upstream,
    ) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("strata-subject-")
            .tempdir()?;
        let mut process = if kind == Kind::Nginx {
            let path = dir.path().to_string_lossy().into_owned();
            let config = nginx_config(&path, http1, h2c, servers, upstream);
            crate::peers::nginx_with(dir.path(), &config)?
        } else {
            let file = dir.path().join("haproxy.cfg");
            std::fs::write(&file, haproxy_config(http1, h2c, servers, upstream))?;
            let log = dir.path().join("haproxy.log");
            Tool::Haproxy
                .launch()?
                .args(["-db", "-f"])
                .arg(&file)
                .start_logging_to(&log)?
        };
        process.wait_tcp(http1, START).await?;
        process.wait_tcp(h2c, START).await?;
        Ok(Self {
            kind,
            http1,
            h2c,
            running: Holder::Peer {
                process: Box::new(process),
                _dir: dir,
            },
        })
    }
}

fn nginx_config(
    dir: &str,
    http1: SocketAddr,
    h2c: SocketAddr,
    servers: &[SocketAddr],
    upstream: Upstream,
) -> String {
    let mut list = String::new();
    for server in servers {
        // Writing to a string cannot fail.
        let _ = writeln!(list, "server {server} max_fails=3 fail_timeout=1s;");
    }
    let pass = match upstream {
        Upstream::Http1 => {
            "proxy_pass http://servers; proxy_http_version 1.1; proxy_set_header Host $http_host;
             proxy_set_header Connection $connection_upgrade; proxy_set_header Upgrade $http_upgrade;
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
             proxy_buffering off; proxy_request_buffering off; proxy_next_upstream error timeout;
             proxy_connect_timeout 1s;"
        }
        Upstream::H2c => "grpc_pass grpc://servers; grpc_connect_timeout 1s;",
    };
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};\n"))
        .collect();
    format!(
        "daemon off; master_process off; error_log stderr warn; pid {dir}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
access_log off; client_max_body_size 0; keepalive_requests 1000000;
{temp}
map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
upstream servers {{
{list}
keepalive 256; keepalive_requests 1000000;
}}
server {{ listen {http1}; listen {h2c} http2; location / {{ {pass} }} }}
}}
"
    )
}

fn haproxy_config(
    http1: SocketAddr,
    h2c: SocketAddr,
    servers: &[SocketAddr],
    upstream: Upstream,
) -> String {
    let proto = if upstream == Upstream::H2c {
        " proto h2"
    } else {
        ""
    };
    let mut text = format!(
        "global
    maxconn 8192
defaults
    mode http
    option forwardfor
    option http-no-delay
    option abortonclose
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
frontend web
    bind {http1}
    bind {h2c} proto h2
    default_backend web
backend web
    balance roundrobin
"
    );
    for (number, server) in servers.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    server s{number} {server}{proto}");
    }
    text
}
