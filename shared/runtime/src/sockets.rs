//! The listening sockets of a process: bound here, or handed over by the process before.

use crate::admin::{AdminServer, Doors, LocalDoor};
use crate::build::Site;
use crate::handover::{Gate, Inheritance, RunDirectory, Slot};
use crate::listen::{self, BoundListener, Counts, TlsListener};
use crate::status;
use crate::tier::Common;
use anyhow::Context;
use lb_core::config::model::{Listener, Threading};
use lb_core::status::ListenerStatus;
use std::sync::Arc;

/// TLS of the listeners that have it, by name.
pub(crate) type Secured = Vec<(String, Arc<TlsListener>)>;

/// Every socket, a row for each listener.
pub(crate) struct Sockets {
    pub(crate) rows: Vec<Vec<BoundListener>>,
    pub(crate) admin: Doors,
    /// Those that were handed over and are used.
    pub(crate) taken: Vec<u32>,
}

/// Reads certificates and keys.
pub(crate) fn secure(common: &Common<'_>, site: &Site) -> anyhow::Result<Secured> {
    let mut secured = Vec::new();
    for listener in common.listeners {
        let Some(settings) = &listener.tls else {
            continue;
        };
        let made = TlsListener::new(settings, &listener.effective_protocols(), &site.base)
            .with_context(|| format!("listener \"{}\"", listener.name))?;
        secured.push((listener.name.to_string(), Arc::new(made)));
    }
    Ok(secured)
}

/// Binds every listener that was not handed over.
pub(crate) fn bind(
    common: &Common<'_>,
    secured: &Secured,
    threads: usize,
    inherited: Option<Inheritance>,
    directory: Option<&RunDirectory>,
) -> anyhow::Result<Sockets> {
    let columns = match common.threading {
        Threading::PerCore => threads,
        Threading::WorkStealing => 1,
    };
    let upgrade = inherited.is_some();
    let mut inherited = inherited.unwrap_or_default();
    let mut rows = Vec::new();
    for listener in common.listeners {
        let tls = secured
            .iter()
            .find(|(name, _)| name == listener.name.as_str());
        let row = inherited.row(listener);
        let row = listen::bind(listener, tls.map(|(_, tls)| tls), columns, row, upgrade)?;
        rows.push(row);
    }
    let listener = match inherited.admin(common.admin.address) {
        Some(listener) => listener,
        None => AdminServer::bind(common.admin.address)?,
    };
    let address = listener.local_addr().unwrap_or(common.admin.address);
    let gate = if upgrade { Gate::Shut } else { Gate::Open };
    let admin = Doors {
        listener,
        slot: Slot::new("admin", address, gate),
        local: directory.map(LocalDoor::open).transpose()?,
    };
    Ok(Sockets {
        rows,
        admin,
        taken: inherited.finish(),
    })
}

// === impl Sockets ===

impl Sockets {
    /// The listeners with where they are bound, for the status.
    pub(crate) fn bound(&self, listeners: &[Listener]) -> Vec<(ListenerStatus, Arc<Counts>)> {
        let pairs = listeners.iter().zip(&self.rows);
        let status = |(config, row): (&Listener, &Vec<BoundListener>)| {
            let first = row.first()?;
            Some((
                status::listener(config, first.address),
                first.counts.clone(),
            ))
        };
        pairs.filter_map(status).collect()
    }

    /// The place of each socket, with its thread.
    pub(crate) fn slots(&self, threads: usize) -> Vec<(usize, Arc<Slot>)> {
        let rows = self.rows.iter();
        rows.flat_map(|row| row.iter().enumerate())
            .map(|(index, socket)| (index % threads.max(1), socket.slot.clone()))
            .collect()
    }

    /// Those that are opened at the commit, and those that are when the upgrade is settled.
    pub(crate) fn gates(&self) -> (Vec<Arc<Slot>>, Vec<Arc<Slot>>) {
        let all = self.rows.iter().flatten();
        let (late, first): (Vec<_>, Vec<_>) = all.partition(|socket| socket.late);
        let slots = |sockets: Vec<&BoundListener>| {
            let slots = sockets.iter().map(|socket| socket.slot.clone());
            slots.collect::<Vec<_>>()
        };
        let mut first = slots(first);
        first.push(self.admin.slot.clone());
        (first, slots(late))
    }
}
