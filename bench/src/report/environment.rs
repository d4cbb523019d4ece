//! Where and on what a run was made; nothing in it names a path or a machine.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock;
use crate::contender::Row;
use crate::contender::program::{Places, Program};
use crate::sys;

/// What a reader needs to judge the absolute figures.
#[derive(Debug, Serialize)]
pub(crate) struct Environment {
    /// Seconds since 1970.
    unix_seconds: u64,
    kernel: String,
    cpu: String,
    cpus: usize,
    /// Load average over one minute before the run; above 0 others were at work.
    load_average_before: Option<f64>,
    /// What each program says of its version.
    versions: BTreeMap<&'static str, String>,
}

// === impl Environment ===

impl Environment {
    /// Looks around; call it before the load starts.
    pub(crate) fn look(rows: &[Row], places: &Places) -> Self {
        let mut versions = BTreeMap::new();
        for program in rows.iter().flat_map(Program::chain) {
            if let Ok(executable) = program.locate(places) {
                versions
                    .entry(program.name())
                    .or_insert_with(|| program.version(&executable));
            }
        }
        Self {
            unix_seconds: clock::unix_seconds(),
            kernel: sys::kernel(),
            cpu: sys::cpu_model(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            load_average_before: sys::load_average(),
            versions,
        }
    }
}
