use super::*;
use crate::build::{MemberSpec, Site};
use crate::clock;
use crate::metrics::Metrics;
use crate::plan::{Identity, Tier};
use lb_core::balance::Policy;
use lb_core::config::model::{HashOn, HealthCheck, Outlier, UpstreamHttp};
use lb_core::name::{ReplicaName, ServerName};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

fn site() -> Site {
    let replica = ReplicaName::new("r1").unwrap();
    let identity = Identity::new(Tier::Regional, &replica, None, 1).unwrap();
    let metrics = Metrics::new("regional", None).unwrap();
    Site::new(identity, Arc::new(metrics), PathBuf::new())
}

/// A pool of three servers without checks.
fn pool(site: &Site) -> Arc<Pool> {
    let member = |number: u16| MemberSpec {
        name: ServerName::new(&format!("s{number}")).unwrap(),
        address: format!("127.0.0.1:{number}"),
        weight: 1,
        zone: None,
        admin: None,
    };
    site.pool(PoolSpec {
        name: "web".to_owned(),
        policy: Policy::P2c,
        hash_on: HashOn::default(),
        panic_threshold: 0.5,
        outlier: Outlier::default(),
        check: HealthCheck {
            enabled: false,
            ..HealthCheck::default()
        },
        protection: crate::upstream::Protection::default(),
        protocol: UpstreamHttp::Http1,
        tls: None,
        idle_timeout: Duration::from_secs(60),
        resolve_interval: Duration::from_secs(60),
        members: (1..=3).map(member).collect(),
    })
    .unwrap()
}

async fn is_woken(site: &Site) -> bool {
    timeout(Duration::from_secs(60), site.changes.next())
        .await
        .is_ok()
}

#[tokio::test(start_paused = true)]
async fn an_ejection_wakes_the_control_thread() {
    let site = site();
    let pool = pool(&site);
    assert!(!is_woken(&site).await, "nothing has changed");
    let first = pool.view().endpoints()[0].clone();
    pool.convict(&first, clock::now());
    assert!(is_woken(&site).await);
    pool.refresh(clock::now());
    assert_eq!(pool.view().routable(), 2);
    pool.check_ejections(clock::now());
    assert!(!is_woken(&site).await, "a look does not wake the looker");
}

#[test]
fn an_ejection_by_an_older_generation_is_seen() {
    let site = site();
    let (old, new) = (pool(&site), pool(&site));
    let first = old.view().endpoints()[0].clone();
    old.convict(&first, clock::now());
    new.refresh(clock::now());
    assert_eq!(new.view().routable(), 3, "it was noted with the old one");
    new.check_ejections(clock::now());
    new.refresh(clock::now());
    assert_eq!(new.view().routable(), 2);
}
