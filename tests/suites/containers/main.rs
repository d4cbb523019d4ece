//! The image, and both tiers as containers with addresses of their own: what a pod is, without a cluster.
//!
//! Needs root, podman with runc, and programs for the image (`make image-programs`). Everything runs in a network namespace that each test
//! makes for itself, so that bridges and packet filters end with it.

mod engine;
mod image;
mod manifests;
mod memory;
mod own_network;
mod pods;
mod rollout;
