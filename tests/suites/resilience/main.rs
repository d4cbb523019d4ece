//! Soft failures of servers behind one regional replica: those that answer, but badly, slowly or too eagerly.

mod bed;
mod blackhole;
mod cookies;
mod drills;
mod latency;
mod outliers;
mod recovery;
mod region_cookies;
