//! Whether a process lives, by a descriptor of it.
//!
//! A pid may belong to somebody else by the time that one asks about it, or sends it a signal; a pidfd (Linux 5.3) stays with its process.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io;
use std::os::fd::OwnedFd;

/// A process that need not be a child of this one.
#[derive(Debug)]
pub(super) struct Life {
    descriptor: OwnedFd,
}

// === impl Life ===

impl Life {
    /// The process that has a pid now.
    ///
    /// # Errors
    /// There is none, or the system has no such descriptors.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { descriptor })
    }

    /// Whether it runs. One that nobody has waited for yet does not.
    pub(super) fn goes_on(&self) -> bool {
        let mut asked = [PollFd::new(&self.descriptor, PollFlags::IN)];
        // An interrupted look says nothing; there is a next one.
        matches!(
            poll(&mut asked, Some(&Timespec::default())),
            Ok(0) | Err(Errno::INTR)
        )
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        // It may be dead already.
        let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_zombie_does_not_go_on() {
        let mut command = Command::new("cat");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let life = Life::of(child.id()).unwrap();
        assert!(life.goes_on());
        life.kill();
        while life.goes_on() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!life.goes_on(), "nor does one that was waited for");
        assert!(Life::of(0).is_err() && Life::of(u32::MAX).is_err());
    }
}
