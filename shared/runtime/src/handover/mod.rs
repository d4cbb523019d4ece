//! Upgrade on a host: a successor takes the listening sockets over, and no connection is lost.
//!
//! # Problem
//! A new binary, or a setting that a running process can't change, needs a new process. While the old one's listeners close and the
//! new one's open, connections are refused; with `SO_REUSEPORT` on both, those that wait in the queues of the closing sockets are
//! reset. And whatever is wrong with the new one must be found while the old one still serves.
//!
//! # Choice
//! The serving process listens at `upgrade.sock` in its run directory (mode 0700, peers checked by `SO_PEERCRED`). A successor is an
//! ordinary process with `--upgrade`: it reads and checks its configuration, builds everything that can fail, and says hello. It gets
//! copies of the listening sockets (`SCM_RIGHTS`); the kernel's queues belong to the socket, so no connection is lost whoever accepts.
//! Two phases:
//!
//! ```text
//! successor                              predecessor
//!   hello (version, tier, pid) ───────────>  serves
//!   <──────────────── sockets, in batches    serves
//!   probes, gets warm
//!   ready (which sockets it takes) ───────>  stops accepting on these; the sockets stay open
//!   <────────────────────────────── commit
//!   its files; accepts; took ─────────────>  asks its connections to close, over the lame duck
//!   <───────────────────────────── settled   (after the probation) gives the pid of the service away
//!                                            drains, exits
//! ```
//!
//! Until `ready` nothing has changed in the predecessor, so that every failure before is none: the successor crashes, hangs (both
//! sides have deadlines), leaves, speaks another protocol, finds no room for its files. After it, the predecessor keeps the sockets while it lives.
//! The successor puts its files in place before it accepts, by two renames; when it fails there, or does not say `took` in time, the
//! predecessor takes the directory back. When the
//! connection between the two breaks, the successor has died: the predecessor accepts again. It stays for [`PROBATION`] at
//! least, also when nothing is in flight. For that time the successor says every [`BEAT`] that its event loops turn: after
//! [`SILENCE`] it hangs, which a connection that stays open would not show. The probation ends with such a sign, not without.
//! Where the predecessor hangs, the successor waits for the probation's end for [`OVERDUE`], and then serves for good: further upgrades are possible, and the
//! predecessor, should it wake, finds that it was let go.
//!
//! Sockets are matched by address. One that the successor's configuration has no longer stays with the predecessor, which serves it
//! through its lame duck. Where the successor has more threads than it got sockets, it binds further ones, which listen only after
//! the probation: the connections in their queues would die with it. Where it has fewer, a thread serves several.
//!
//! # Rejected
//! - *nginx's* `exec` *by the old process*: the old one needs to know binary and arguments of the new one, is its parent, and can't be told
//!   whether it is ready; descriptors by number in the environment.
//! - *HAProxy's* `expose-fd listeners`: the descriptors are given to whoever connects to the admin socket, at any time, and the
//!   new process sends signals to the old one by its pid file. What happens next is not agreed on.
//! - *Envoy's* hot restart: shared memory that binds both to one layout, a fixed number of epochs, and a wrapper as parent of all.
//! - *Pingora's*: the old process sends its descriptors and exits, whether or not anybody got them; 32 at most.
//! - *systemd's* socket units: sockets survive, but between the end of the old process and the start of the new one nobody accepts.
//!
//! # Limits
//! State does not move: connections stay with the process that accepted them, and rate limits, learned limits, latencies and ejections
//! begin anew. Connections that a successor accepted before it died are lost with it. The address families of a listener can't
//! overlap in both configurations (`0.0.0.0:80` and then `127.0.0.1:80`): the second one can't be bound while the first is held.

mod board;
mod directory;
mod estate;
mod files;
mod frame;
mod inherit;
mod join;
mod journal;
mod message;
pub(crate) mod notify;
mod offer;
mod other;
mod retire;
mod slot;
mod watch;

pub(crate) use board::Draft;
pub(crate) use directory::{DirectoryError, RunDirectory};
pub(crate) use estate::Estate;
pub(crate) use files::SocketFile;
pub(crate) use inherit::Inheritance;
pub(crate) use join::{JoinError, Succession};
pub(crate) use journal::Journal;
pub(crate) use message::Introduction;
pub(crate) use offer::{Committed, Offer};
pub(crate) use retire::{Retired, retire};
pub(crate) use slot::{Gate, Slot, Watch};
pub(crate) use watch::Parent;

use std::time::Duration;

/// The version of what the two processes say to each other.
const PROTOCOL: u32 = 1;
/// How long the predecessor stays at least, ready to serve again.
pub(crate) const PROBATION: Duration = Duration::from_secs(5);
/// How often a successor on probation gives a sign of life.
const BEAT: Duration = Duration::from_millis(250);
/// Without one for so long it hangs, and the predecessor serves again. Far above the lags of a busy machine, well below [`PROBATION`].
const SILENCE: Duration = Duration::from_secs(3);
/// How long after the end of the probation the predecessor may take to say so: beyond the time that a supervisor gets to read it. Then it
/// hangs, and the successor waits for it no longer.
const OVERDUE: Duration = Duration::from_secs(10);
/// How long a peer may take for a message that it owes at once.
const PROMPT: Duration = Duration::from_secs(5);
/// The longest time that a successor may ask for until it is ready.
const LONGEST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
