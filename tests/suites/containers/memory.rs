//! A pod at its memory limit: strangers who send long heads and never end them. It refuses new work, and serves again when they have gone; without
//! that the kernel kills it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::ports;
use strata_tests::raw::RawConn;
use strata_tests::server::Server;
use strata_tests::{eventually, http};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::engine::Engine;
use crate::own_network::done_in_own_network;
use crate::pods::{Pod, SOON, Tier};

const MEMORY: &str = "128m";
/// Of a head, just short of what is refused.
const HEAD: usize = 30 << 10;
/// Their heads are one and a half times the memory of the pod.
const STRANGERS: usize = 6_000;
const PROMPT: Duration = Duration::from_secs(2);
/// Heads are waited for longer than the flood lasts.
const PATIENT: &str = "header_timeout: 60s";

/// A region with one pod of little memory.
struct Site {
    engine: Engine,
    small: Pod,
    _server: Server,
}

// === impl Site ===

impl Site {
    async fn start(limits: &str) -> Result<Self> {
        let engine = Engine::with_image()?;
        let address = SocketAddr::from(([0, 0, 0, 0], ports::free()?.port()));
        let servers = [Server::builder("s1").address(address).start().await?];
        let shutdown = "lame_duck: 1s, drain: 1s, stream_drain: 1s";
        let small = Tier::regional(&engine, "eu", shutdown, &servers)?;
        let small = small.limited(MEMORY, limits)?.start(&engine, 0).await?;
        let [server] = servers;
        Ok(Self {
            engine,
            small,
            _server: server,
        })
    }

    /// Whether the kernel killed the small pod for its memory.
    fn is_killed(&self) -> Result<bool> {
        let state = "{{.State.Status}} {{.State.ExitCode}}";
        let state = self
            .engine
            .run(&["inspect", "--format", state, &self.small.name])?;
        Ok(state == "exited 137")
    }

    /// Opens connections with long heads, as fast as it can; they stay open. Whoever is killed answers no more.
    async fn flood(&self) -> Vec<RawConn> {
        let head = format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}", "a".repeat(HEAD));
        let mut tasks = JoinSet::new();
        for _ in 0..16 {
            let (address, head) = (self.small.address, head.clone());
            tasks.spawn(async move {
                let mut open = Vec::new();
                for _ in 0..STRANGERS / 16 {
                    let Ok(connected) = timeout(PROMPT, RawConn::connect(address)).await else {
                        break;
                    };
                    if let Ok(mut conn) = connected
                        && conn.write(head.as_bytes()).await.is_ok()
                    {
                        open.push(conn);
                    }
                }
                open
            });
        }
        tasks.join_all().await.into_iter().flatten().collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_can_not_fill_the_memory() -> Result<()> {
    if done_in_own_network("memory::strangers_can_not_fill_the_memory")? {
        return Ok(());
    }
    let site = Site::start(&format!("limits: {{ {PATIENT} }}")).await?;
    let open = site.flood().await;
    ensure!(!site.is_killed()?, "{}", site.engine.log(&site.small.name)?);
    let status = http::get(site.small.admin, "/api/v1/status").await?;
    let status = status.json()?;
    eprintln!("{} open, {}", open.len(), status["overload"]);
    ensure!(
        status["overload"]["level"] == "refuse_new",
        "{}",
        status["overload"]
    );
    sleep(Duration::from_secs(3)).await;
    drop(open);
    eventually(SOON, "all as before", async || {
        let ready = http::get(site.small.admin, "/readyz").await?;
        ensure!(ready.status == 200, "{ready:?}");
        ensure!(http::get(site.small.address, "/").await?.status == 200);
        Ok(())
    })
    .await
    .with_context(|| site.engine.log(&site.small.name).unwrap_or_default())
}

/// The control.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_protection_the_kernel_ends_the_pod() -> Result<()> {
    if done_in_own_network("memory::without_protection_the_kernel_ends_the_pod")? {
        return Ok(());
    }
    let limits = format!("limits: {{ {PATIENT}, overload: {{ enabled: false }} }}");
    let site = Site::start(&limits).await?;
    site.flood().await;
    eventually(SOON, "the kill", async || {
        ensure!(site.is_killed()?, "it lives");
        Ok(())
    })
    .await
}
