//! The global tier's program: chooses a region for each request, then a replica in it.

mod global;

use mimalloc::MiMalloc;
use global::GlobalTier;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    lb_runtime::cli::main::<GlobalTier>()
}
