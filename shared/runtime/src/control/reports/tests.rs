use super::*;
use crate::build::{MemberSpec, PoolSpec, Site};
use crate::metrics::Metrics;
use crate::plan::{Identity, Tier};
use lb_core::name::{ReplicaName, ServerName};
use std::path::PathBuf;

/// A region whose replicas stand behind a name with two addresses, and one with an address of its own.
fn region() -> Arc<Pool> {
    let replica = ReplicaName::new("g1").unwrap();
    let identity = Identity::new(Tier::Global, &replica, None, 1).unwrap();
    let metrics = Arc::new(Metrics::new("global", None).unwrap());
    let site = Site::new(identity, metrics, PathBuf::new());
    let member = |name: &str, address: &str, admin: &str| MemberSpec {
        name: ServerName::new(name).unwrap(),
        address: address.to_owned(),
        weight: 1,
        zone: None,
        admin: Some(admin.to_owned()),
    };
    let found = ["10.0.0.1:8080", "10.0.0.2:8080"];
    let found = found.iter().map(|address| address.parse().unwrap());
    site.set_addresses("eu.internal:8080", found.collect());
    let members = vec![
        member("pods", "eu.internal:8080", "eu.internal:9900"),
        member("old", "10.0.0.9:8080", "10.1.0.9:9900"),
    ];
    site.pool(PoolSpec::plain("eu", members)).unwrap()
}

#[test]
fn each_address_of_a_name_is_asked_for_itself() {
    let region = region();
    let asked: Vec<_> = endpoints(&region)
        .iter()
        .map(|(at, _)| at.to_string())
        .collect();
    assert_eq!(asked, ["10.0.0.1:9900", "10.0.0.2:9900", "10.1.0.9:9900"]);
}

#[test]
fn one_that_leaves_does_not_take_its_sisters_along() {
    let region = region();
    let now = clock::now();
    heard(&region, "10.0.0.2:9900".parse().unwrap(), true, now);
    region.refresh(now);
    let leaving: Vec<_> = endpoints(&region)
        .iter()
        .map(|(_, endpoint)| endpoint.leaves_until(now).is_some())
        .collect();
    assert_eq!(leaving, [false, true, false]);
}
