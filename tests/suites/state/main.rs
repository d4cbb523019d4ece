//! Operators' orders: kept through crashes, shared within a second, and refused aloud when they can't be kept.

mod bed;
mod disk;
mod etcd;
mod etcd_access;
mod etcd_bed;
mod kube;
mod kube_access;
mod kube_bed;
mod kube_faults;
mod kube_server;
mod share;
mod token;
