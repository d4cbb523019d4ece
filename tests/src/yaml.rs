//! The text of configuration files, and nothing else: the one place to follow when the format changes.
//!
//! Written as text on purpose. Writing it with the programs' own types would hide a format that only they can read.
//! Whatever these fields don't cover goes into `extra`, which is pasted as it is.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// A configuration file of `regional-lb`.
#[derive(Debug, Clone)]
pub struct RegionalFile {
    /// Name of the replica.
    pub name: String,
    /// Name of its region.
    pub region: String,
    /// Where users (or the global tier) connect.
    pub listener: SocketAddr,
    /// What the listener speaks, and whom it believes.
    pub front: Front,
    /// Where operators connect.
    pub admin: SocketAddr,
    /// Routes, first to last.
    pub routes: Vec<Route>,
    /// More routes, as lines of the list.
    pub more_routes: String,
    /// Pools.
    pub pools: Vec<Pool>,
    /// More top-level lines.
    pub extra: String,
}

/// A configuration file of `global-lb`.
#[derive(Debug, Clone)]
pub struct GlobalFile {
    /// Name of the replica.
    pub name: String,
    /// Where users connect.
    pub listener: SocketAddr,
    /// What the listener speaks, and whom it believes.
    pub front: Front,
    /// Where operators connect.
    pub admin: SocketAddr,
    /// How the one route chooses a region.
    pub policy: String,
    /// More lines of that route, without indentation.
    pub route_extra: String,
    /// More routes, as lines of the list.
    pub more_routes: String,
    /// Regions.
    pub regions: Vec<Region>,
    /// More top-level lines.
    pub extra: String,
}

/// A listener's manners.
#[derive(Debug, Clone)]
pub struct Front {
    /// Protocols, as in `http1, h2c`.
    pub protocols: String,
    /// The inner text of `tls: { … }`.
    pub tls: Option<String>,
    /// Ranges of peers whose forwarding headers are believed.
    pub trusted: String,
    /// The inner text of `shutdown: { … }`; without a lame duck, so that tests end soon.
    pub shutdown: String,
    /// More keys of `admin: { … }`, besides the address.
    pub admin: String,
}

/// A route by path prefix to a pool.
#[derive(Debug, Clone)]
pub struct Route {
    /// Name.
    pub name: String,
    /// Path prefix.
    pub prefix: String,
    /// Name of the pool.
    pub pool: String,
    /// More lines of the route, without indentation.
    pub extra: String,
}

/// Servers under one policy.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Name.
    pub name: String,
    /// How a server is chosen.
    pub policy: String,
    /// The inner text of `health_check: { … }`; `None` leaves the whole key out.
    pub health_check: Option<String>,
    /// Servers.
    pub servers: Vec<Endpoint>,
    /// More lines of the pool, without indentation.
    pub extra: String,
}

/// A server of a pool.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Name.
    pub name: String,
    /// Address, `IP:PORT` or `NAME:PORT`.
    pub address: String,
    /// Weight.
    pub weight: u32,
}

/// A region, as the global tier knows it.
#[derive(Debug, Clone)]
pub struct Region {
    /// Name.
    pub name: String,
    /// Priority; the lowest number is used first.
    pub priority: u32,
    /// Weight among equals.
    pub weight: u32,
    /// Replicas: name, listener, admin.
    pub replicas: Vec<(String, SocketAddr, SocketAddr)>,
    /// More lines of the region, without indentation.
    pub extra: String,
}

// === impl RegionalFile ===

impl RegionalFile {
    /// The file's text.
    pub fn render(&self) -> String {
        let mut text = format!("name: {}\nregion: {}\n", self.name, self.region);
        self.front.render(&mut text, self.listener, self.admin);
        text.push_str("routes:\n");
        for route in &self.routes {
            let Route {
                name,
                prefix,
                pool,
                extra,
            } = route;
            let _ = writeln!(text, "  - name: {name}");
            let _ = writeln!(text, "    match: {{ path: {{ prefix: \"{prefix}\" }} }}");
            let _ = writeln!(text, "    pool: {pool}");
            indented(&mut text, extra);
        }
        text.push_str(&self.more_routes);
        text.push_str("pools:\n");
        for pool in &self.pools {
            pool.render(&mut text);
        }
        text.push_str(&self.extra);
        text
    }
}

// === impl Pool ===

impl Pool {
    /// A pool with the default policy and checks of `/healthz` twice a second.
    pub fn new(name: &str, servers: impl IntoIterator<Item = (String, SocketAddr)>) -> Self {
        let servers = servers.into_iter();
        Self {
            name: name.to_owned(),
            policy: "p2c".to_owned(),
            health_check: Some(
                "http: { path: /healthz }, interval: 500ms, timeout: 250ms".to_owned(),
            ),
            servers: servers
                .map(|(name, address)| Endpoint {
                    name,
                    address: address.to_string(),
                    weight: 1,
                })
                .collect(),
            extra: String::new(),
        }
    }

    fn render(&self, text: &mut String) {
        let _ = writeln!(text, "  - name: {}", self.name);
        let _ = writeln!(text, "    balance: {{ policy: {} }}", self.policy);
        if let Some(check) = &self.health_check {
            let _ = writeln!(text, "    health_check: {{ {check} }}");
        }
        indented(text, &self.extra);
        text.push_str("    servers:\n");
        for Endpoint {
            name,
            address,
            weight,
        } in &self.servers
        {
            let _ = writeln!(
                text,
                "      - {{ name: {name}, address: \"{address}\", weight: {weight} }}"
            );
        }
    }
}

// === impl GlobalFile ===

impl GlobalFile {
    /// The file's text.
    pub fn render(&self) -> String {
        let mut text = format!("name: {}\n", self.name);
        self.front.render(&mut text, self.listener, self.admin);
        let _ = writeln!(
            text,
            "routes:\n  - name: all\n    match: {{ path: {{ prefix: / }} }}\n    regions: {{ policy: {} }}",
            self.policy
        );
        indented(&mut text, &self.route_extra);
        text.push_str(&self.more_routes);
        text.push_str("regions:\n");
        for region in &self.regions {
            let Region {
                name,
                priority,
                weight,
                replicas,
                extra,
            } = region;
            let _ = writeln!(text, "  - name: {name}");
            let _ = writeln!(text, "    priority: {priority}");
            let _ = writeln!(text, "    weight: {weight}");
            indented(&mut text, extra);
            text.push_str("    replicas:\n");
            for (name, address, admin) in replicas {
                let _ = writeln!(
                    text,
                    "      - {{ name: {name}, address: \"{address}\", admin: \"{admin}\" }}"
                );
            }
        }
        text.push_str(&self.extra);
        text
    }
}

// === impl Front ===

impl Default for Front {
    fn default() -> Self {
        Self {
            protocols: "http1, h2c".to_owned(),
            tls: None,
            trusted: "127.0.0.0/8".to_owned(),
            shutdown: "lame_duck: 0s".to_owned(),
            admin: String::new(),
        }
    }
}

// Writing to a string cannot fail, hence the ignored results in this file.
impl Front {
    fn render(&self, text: &mut String, listener: SocketAddr, admin: SocketAddr) {
        let Self {
            protocols,
            tls,
            trusted,
            shutdown,
            admin: more,
        } = self;
        let tls = tls.as_ref().map(|tls| format!(", tls: {{ {tls} }}"));
        let tls = tls.unwrap_or_default();
        let _ = writeln!(
            text,
            "listeners:\n  - {{ name: web, address: \"{listener}\", protocols: [{protocols}]{tls} }}"
        );
        let _ = writeln!(text, "admin: {{ address: \"{admin}\", {more} }}");
        let _ = writeln!(text, "trusted_proxies: [{trusted}]");
        let _ = writeln!(text, "shutdown: {{ {shutdown} }}");
    }
}

fn indented(text: &mut String, extra: &str) {
    for line in extra.lines() {
        let _ = writeln!(text, "    {line}");
    }
}
