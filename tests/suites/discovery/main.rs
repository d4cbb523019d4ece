//! Servers behind Services of Kubernetes: the real regional program, its real client, and an API server that misbehaves on command.

mod bed;
mod churn;
mod faults;
mod holds;
mod knows;
mod orders;
mod servers;
