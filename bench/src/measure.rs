//! One sample of one row: closed loop, open loop, idle memory.
//!
//! The proxies' CPU time is read right before and right after each window, while the load runs on
//! both sides of it, so ramps and connects are not in the figure.

use std::time::Duration;

use serde::Serialize;

use crate::clock;
use crate::contender::Row;
use crate::contender::stack::{Bed, Stack, TestServers};
use crate::interrupt::Interrupt;
use crate::load::Target;
use crate::load::closed::{ClosedLoop, ClosedResult};
use crate::load::idle::IdleConnections;
use crate::load::open::{OpenLoop, OpenPlan, OpenResult};
use crate::procfs::{self, Memory, Pid};
use crate::quiet::Patience;

/// What to measure, for every row alike.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Connections of the closed and of the open loop.
    pub(crate) connections: usize,
    /// Load before the closed-loop window that does not count.
    pub(crate) warm_up: Duration,
    /// Length of the closed-loop window and of the open-loop schedule.
    pub(crate) window: Duration,
    /// Requests per second of the open loop.
    pub(crate) rate: f64,
    /// From which wait on an answer is late.
    pub(crate) late_after: Duration,
    /// Idle connections; 0 leaves that part out.
    pub(crate) idle: usize,
}

/// CPU time during a window.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cost {
    /// User and system time of the proxies, in seconds.
    pub(crate) proxy_s: f64,
    /// The same for the generator and the test servers.
    pub(crate) load_s: f64,
    /// All other work of the machine; sampled by the kernel, so noisy.
    pub(crate) foreign_s: f64,
    /// Length of the window in seconds.
    pub(crate) wall_s: f64,
}

/// Memory that idle connections took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Idle {
    /// Connections opened.
    pub(crate) opened: usize,
    /// Connections that the contender still held at the end.
    pub(crate) alive: usize,
    /// Growth of the proxies' memory, in bytes.
    pub(crate) growth: Memory,
}

/// All figures of one row in one round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) closed: ClosedResult,
    pub(crate) closed_cost: Cost,
    pub(crate) open: OpenResult,
    pub(crate) open_cost: Cost,
    /// `None` for direct, or when left out.
    pub(crate) idle: Option<Idle>,
}

/// Running totals at one moment.
struct Mark {
    at: std::time::Instant,
    proxy: Duration,
    load: Duration,
    all: Duration,
}

/// Whose CPU time is read.
struct Meter {
    proxy: Vec<Pid>,
    load: Vec<Pid>,
}

// === impl Cost ===

impl Cost {
    /// Foreign work as a share of one CPU.
    pub(crate) fn foreign_share(&self) -> f64 {
        self.foreign_s / self.wall_s
    }
}

// === impl Meter ===

impl Meter {
    fn new(stack: &Stack, servers: &TestServers) -> Self {
        let mut load = servers.pids();
        load.push(std::process::id());
        Self {
            proxy: stack.pids(),
            load,
        }
    }

    fn mark(&self) -> Mark {
        Mark {
            at: clock::now(),
            proxy: procfs::cpu_time(&self.proxy),
            load: procfs::cpu_time(&self.load),
            all: procfs::busy_time(),
        }
    }

    fn since(&self, begin: &Mark) -> Cost {
        let end = self.mark();
        let proxy_s = end.proxy.saturating_sub(begin.proxy).as_secs_f64();
        let load_s = end.load.saturating_sub(begin.load).as_secs_f64();
        let all = end.all.saturating_sub(begin.all).as_secs_f64();
        let wall_s = end.at.saturating_duration_since(begin.at).as_secs_f64();
        Cost {
            proxy_s,
            load_s,
            foreign_s: (all - proxy_s - load_s).max(0.0),
            wall_s,
        }
    }
}

/// Measures `row` once, on stacks of its own.
pub(crate) fn sample(
    bed: &Bed,
    servers: &TestServers,
    row: &Row,
    plan: &Plan,
    patience: &mut Patience,
) -> anyhow::Result<Sample> {
    let mut stack = Stack::start(bed, servers, row)?;
    let meter = Meter::new(&stack, servers);
    let target = Target::get(stack.address());
    let (closed, closed_cost) = patience.quietest(&bed.interrupt, || {
        let mut load = ClosedLoop::connect(target.clone(), plan.connections, &bed.interrupt)?;
        load.run(plan.warm_up)?;
        let begin = meter.mark();
        let result = load.run(plan.window)?;
        Ok((result, meter.since(&begin)))
    })?;
    let schedule = OpenPlan {
        rate: plan.rate,
        window: plan.window,
        late_after: plan.late_after,
    };
    let (open, open_cost) = patience.quietest(&bed.interrupt, || {
        let mut load = OpenLoop::connect(target.clone(), plan.connections, &bed.interrupt)?;
        let begin = meter.mark();
        let result = load.run(&schedule)?;
        Ok((result, meter.since(&begin)))
    })?;
    stack.check()?;
    drop(stack);
    let idle = match plan.idle {
        count if count > 0 && row.tiers > 0 => Some(idle(bed, servers, row, count)?),
        _ => None,
    };
    Ok(Sample {
        closed,
        closed_cost,
        open,
        open_cost,
        idle,
    })
}

/// On a fresh stack, because memory freed after load would be used again and hide the growth.
fn idle(bed: &Bed, servers: &TestServers, row: &Row, count: usize) -> anyhow::Result<Idle> {
    let mut stack = Stack::start(bed, servers, row)?;
    let target = Target::get(stack.address());
    // The first request builds what is built once: the upstream connection, lazy tables.
    drop(IdleConnections::open(&target, 1, &bed.interrupt)?);
    let pids = stack.pids();
    let before = settled(&pids, &bed.interrupt)?;
    let connections = IdleConnections::open(&target, count, &bed.interrupt)?;
    let after = settled(&pids, &bed.interrupt)?;
    stack.check()?;
    Ok(Idle {
        opened: count,
        alive: connections.alive(),
        growth: after - before,
    })
}

/// Memory once two looks in a row differ by less than 64 KiB, or after 3 s.
fn settled(pids: &[Pid], interrupt: &Interrupt) -> anyhow::Result<Memory> {
    let mut last = procfs::memory(pids);
    for _ in 0..15 {
        interrupt.wait(Duration::from_millis(200))?;
        let now = procfs::memory(pids);
        if (now.pss - last.pss).abs() < 64 * 1024 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}
