//! The regional tier's program: chooses a server for each request.

mod regional;

use mimalloc::MiMalloc;
use regional::RegionalTier;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    lb_runtime::cli::main::<RegionalTier>()
}
