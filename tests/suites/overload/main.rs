//! More than there is room for: what is let in is served well, the rest is refused at once, and it ends when the load does.

mod global;
mod pauses;
mod peers;
mod places;
mod process;
mod rate;
mod storm;
