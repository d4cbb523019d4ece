//! `lbctl upgrade-start`: starts a successor so that it belongs to nobody in particular.
//!
//! # Problem
//! systemd waits for a main process that is its own child, and takes any other one for a stranger: at `systemctl stop` it neither waits for
//! it nor gives it `TimeoutStopSec`, and with `KillMode=mixed` kills it at once. A successor that `lbctl` itself has started is
//! `lbctl`'s child while that watches the upgrade, which is when it becomes the main process.
//!
//! # Choice
//! This process in between starts the successor and tells its pid; when `lbctl` closes its input, it ends, and the
//! kernel gives the successor to process 1, or to whoever adopts orphans (`systemd --user`, the init of a container). Until then it is the
//! parent, who alone can hear how a process ended: a crash is told with its exit status. `lbctl` lets it go at the commit, 5 s before the main
//! process changes, and so does the death of `lbctl`.
//!
//! ```text
//! pid 4711       the successor runs; the parent does not wait for it before it hears `go`, so that the pid stays its own
//! ended 1792     how it ended, as wait(2) has it
//! failed TEXT    it could not be started
//! ```
//!
//! # Rejected
//! - *Forking twice in the successor*: a program that does so can't be waited for by those who start it by hand.
//! - *The predecessor as parent*: its children become orphans with its end, but who starts programs needs to know of them.

use crate::args::UpgradeStartArgs;
use crate::failure::{Exit, Failure};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;

/// Starts a successor, and ends when the input does.
pub(crate) fn run(args: &UpgradeStartArgs) -> Result<(), Failure> {
    let child = match start(args) {
        Ok(child) => child,
        Err(error) => {
            tell(&format!("failed {error}"));
            return Ok(());
        }
    };
    tell(&format!("pid {}", child.id()));
    let mut input = io::stdin().lock();
    let mut go = [0; 1];
    if input.read_exact(&mut go).is_ok() {
        thread::Builder::new()
            .spawn(move || attend(child))
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let _ = io::copy(&mut input, &mut io::sink());
    }
    Ok(())
}

/// The program, with the output of the process that it is to be like.
fn start(args: &UpgradeStartArgs) -> io::Result<Child> {
    let mut words = args.program.iter();
    let program = words.next().ok_or(io::ErrorKind::InvalidInput)?;
    let output = |descriptor: u32| -> Stdio {
        let path = format!("/proc/{}/fd/{descriptor}", args.like);
        let file = File::options().append(true).open(path);
        // This one's own output is for `lbctl`.
        file.map_or_else(|_| io::stderr().into(), Stdio::from)
    };
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null());
    command.stdout(output(1)).stderr(output(2)).spawn()
}

fn attend(mut child: Child) {
    if let Ok(status) = child.wait() {
        tell(&format!("ended {}", status.into_raw()));
    }
}

/// Tells `lbctl`, which may be dead.
fn tell(text: &str) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{text}").and_then(|()| output.flush());
}
