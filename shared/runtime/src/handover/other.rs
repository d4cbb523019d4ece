//! Another process of the run directory, whoever has its pid later.
//!
//! A process that was killed leaves its admin socket, and its pid may be somebody else's moments after: together they look like a process
//! that lives. A pidfd (Linux 5.3) stays with its process. Where there is none, the pid has to do.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};
use std::os::fd::OwnedFd;

/// A process.
#[derive(Debug)]
pub(super) struct Other {
    pid: Pid,
    life: Option<OwnedFd>,
}

// === impl Other ===

impl Other {
    /// The process that has a pid now, if any has.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(life) => Some(Self {
                pid,
                life: Some(life),
            }),
            Err(Errno::SRCH) => None,
            Err(_) => Some(Self { pid, life: None }),
        }
    }

    /// Its pid.
    pub(super) const fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Whether it runs.
    pub(super) fn goes_on(&self) -> bool {
        let Some(life) = &self.life else {
            return test_kill_process(self.pid).is_ok();
        };
        let mut asked = [PollFd::new(life, PollFlags::IN)];
        // An interrupted look says nothing; there is a next one.
        let ended = poll(&mut asked, Some(&Timespec::default()));
        matches!(ended, Ok(0) | Err(Errno::INTR))
    }
}
