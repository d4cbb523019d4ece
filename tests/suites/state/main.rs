//! Operators' orders: kept through crashes, shared within a second, and refused aloud when they can't be kept.

mod bed;
mod disk;
mod etcd;
mod etcd_access;
mod etcd_bed;
mod kube_server;
mod share;
mod token;
