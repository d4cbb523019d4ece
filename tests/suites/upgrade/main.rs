//! Upgrades on a host: a process is replaced while its users go on, and whatever is wrong with the new one is found while the old one
//! still serves.

mod change;
mod drills;
mod fake;
mod minute;
mod orders;
mod rig;
mod row;
mod service;
mod stop;
mod systemd;
mod users;
