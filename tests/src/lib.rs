//! Harness of the black-box suites: real processes, real sockets, and ledgers on both sides.
//!
//! **Problem.** A load balancer fails in the seams: a killed replica, a connection closed just as it is reused, a
//! body cut short. Only whole processes on real sockets show that, and only if each request can be accounted for.
//!
//! **Choice.** The programs under test are started as child processes ([`process`], [`topology`], [`subject`]).
//! Servers are ours and scriptable ([`server`]), the load is open-loop with one id per request ([`load`]), and
//! [`reconcile`] compares what clients got with what servers saw. Programs we did not write join in through
//! [`tools`] and [`peers`]. Nothing here depends on our own crates, so no bug can be on both sides.
//!
//! **Rejected.** Tests inside the programs' own processes: they cannot be killed, frozen or restarted. Containers:
//! slow to start, and not available everywhere the tests run.
//!
//! **Limits.** Linux only (signals, `/proc`, all of `127.0.0.0/8`). Servers live in the test's process; where a
//! server process itself must die or freeze, use [`peers`].

pub mod certs;
pub mod disk;
pub mod feed;
pub mod http;
pub mod kube;
pub mod load;
pub mod pattern;
pub mod peers;
pub mod ports;
pub mod process;
pub mod raw;
pub mod reconcile;
pub mod relay;
pub mod server;
pub mod service;
pub mod strays;
pub mod subject;
pub mod tools;
pub mod topology;
pub mod turn;
pub mod users;
pub mod wait;
pub mod websocket;
pub mod yaml;

pub use turn::{alone, turn};
pub use wait::{eventually, steadily};
