//! What any proxy must do, against the one that `STRATA_SUBJECT` names (nginx, haproxy, regional, two-tier).

mod bodies;
mod grpc;
mod messages;
mod traffic;
mod websocket;
