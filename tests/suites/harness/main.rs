//! The harness tests itself: each check must be able to fail, so each is shown what it has to find.

mod clients;
mod load;
mod peers;
mod processes;
mod servers;
mod topologies;
