//! Processes that leave: what they were asked before their end is answered, and nobody is sent to them afterwards.

mod drain;
mod lame_duck;
mod log;
mod regions;
mod rolling;
mod signals;
mod stage;
mod streams;
mod versions;
