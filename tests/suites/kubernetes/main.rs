//! The manifests of `k8s/`: each overlay, and each component by itself, is rendered, validated, held against our own rules, and its
//! configuration is run.
//!
//! There is no API server here. What one would refuse is found by the schemas of three Kubernetes versions; what it would take, and
//! operators would regret, by the rules of `policy`, each with a control that shows that it sees what it is for.

mod alerts;
mod api;
mod controls;
mod objects;
mod pod;
mod policy;
mod render;
mod run;
mod validate;
