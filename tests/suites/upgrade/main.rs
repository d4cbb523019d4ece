//! Upgrades on a host: a process is replaced while its users go on, and whatever is wrong with the new one is found while the old one
//! still serves.

mod change;
mod commit;
mod drills;
mod fake;
mod frozen;
mod idle;
mod minute;
mod orders;
mod requests;
mod rig;
mod row;
mod service;
mod stop;
mod swept;
mod systemd;
mod two;
mod watchdog;
