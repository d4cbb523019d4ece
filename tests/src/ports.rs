//! Free loopback addresses that no other test takes away.
//!
//! **Problem.** Binding port 0, noting the number and closing the socket leaves a gap in which a parallel test, or an
//! outgoing connection, may take that port. A server that refuses for a while and then returns to its port has the
//! same gap, only longer.
//!
//! **Choice.** Each test process claims an address of its own in `127.0.0.0/8` and counts ports up on it, below the
//! range that outgoing connections use. The claim is a listener on a fixed port of that address: the kernel lets one
//! process hold it and releases it on any death. Each port is tried by binding it before it is given out; a listener
//! must set `SO_REUSEADDR`, as each server does.
//!
//! **Rejected.** Lock files: they survive a crash. Port 0 on 127.0.0.1: the gap above.
//!
//! **Limits.** Linux, where all of `127.0.0.0/8` is local without set-up. A program that binds `0.0.0.0` can still
//! collide, but then the trial bind fails and the port is skipped.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpSocket;

const CLAIM_PORT: u16 = 9_999;
const FIRST_PORT: u16 = 10_000;
const LAST_PORT: u16 = 32_000;

/// A loopback address held by this process alone, and the ports on it.
#[derive(Debug)]
pub struct Loopback {
    ip: Ipv4Addr,
    next: AtomicU16,
    _claim: TcpListener,
}

/// One free address for a listener, never given out twice by this process.
///
/// # Errors
///
/// When no loopback address or port can be bound.
pub fn free() -> Result<SocketAddr> {
    shared()?.port()
}

/// `count` free addresses.
///
/// # Errors
///
/// As [`free`].
pub fn several(count: usize) -> Result<Vec<SocketAddr>> {
    (0..count).map(|_| free()).collect()
}

fn shared() -> Result<&'static Loopback> {
    static SHARED: OnceLock<Result<Loopback, String>> = OnceLock::new();
    SHARED
        .get_or_init(|| Loopback::claim().map_err(|e| format!("{e:#}")))
        .as_ref()
        .map_err(|e| anyhow!("{e}"))
}

// === impl Loopback ===

impl Loopback {
    /// Claims an address that no other process (nor an earlier claim of this one) holds.
    ///
    /// # Errors
    ///
    /// When 4,096 candidates were all taken, which means that binding loopback addresses does not work here.
    pub fn claim() -> Result<Self> {
        let start = std::process::id().wrapping_mul(2_654_435_761) >> 8;
        let mut last = None;
        for step in 0..4_096_u32 {
            let ip = candidate(start.wrapping_add(step));
            match TcpListener::bind((ip, CLAIM_PORT)) {
                Ok(claim) => {
                    return Ok(Self {
                        ip,
                        next: AtomicU16::new(FIRST_PORT),
                        _claim: claim,
                    });
                }
                Err(e) => last = Some(e),
            }
        }
        Err(anyhow!(
            "no loopback address could be claimed; last error: {last:?}"
        ))
    }

    /// The claimed address.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The next free port on this address. Ports are given out once until all 22,000 were used.
    ///
    /// # Errors
    ///
    /// When a full round found no port that can be bound.
    pub fn port(&self) -> Result<SocketAddr> {
        for _ in FIRST_PORT..LAST_PORT {
            let port = self.next.fetch_add(1, Ordering::Relaxed);
            if port >= LAST_PORT - 1 {
                self.next.store(FIRST_PORT, Ordering::Relaxed);
            }
            let address = SocketAddr::from((self.ip, port));
            if is_free(address) {
                return Ok(address);
            }
        }
        Err(anyhow!("{} has no free port left", self.ip)).context("finding a free port")
    }
}

/// Whether the address can be bound. It is bound without listening: a child that is just being forked holds our
/// sockets until its `exec`, and a listening one would make the port look taken for that moment.
fn is_free(address: SocketAddr) -> bool {
    let bound = TcpSocket::new_v4().and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    });
    bound.is_ok()
}

/// Spreads `index` over 127.1.1.1 … 127.250.254.250, away from 127.0.0.1, which everything else uses.
fn candidate(index: u32) -> Ipv4Addr {
    let [second, third, fourth] = [index % 250, index / 250 % 254, index / 63_500 % 250]
        .map(|part| u8::try_from(part + 1).unwrap_or(1));
    Ipv4Addr::new(127, second, third, fourth)
}
