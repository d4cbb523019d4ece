//! What dies, freezes or breaks under load is absorbed by the layer above: the targets, and runs that must miss them.

mod connections;
mod drill;
mod globals;
mod regions;
mod replicas;
mod servers;
