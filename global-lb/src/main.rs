//! The global tier's program: chooses a region for each request, then a replica in it.

mod global;

use global::GlobalTier;
use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    lb_runtime::cli::main::<GlobalTier>()
}
