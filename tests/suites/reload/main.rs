//! The configuration changes while requests run: taken over whole and at once, or refused whole.

mod bed;
mod changes;
mod faults;
mod identity;
mod layers;
mod sources;
mod tls;
