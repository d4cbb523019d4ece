use super::*;
use crate::admin::Write;
use crate::plan::Tier;
use lb_core::drain::{Action, Draft, MOST_AHEAD, Scope, SessionPolicy};
use lb_core::name::{RegionName, ReplicaName};

pub(super) fn identity(replica: &str) -> Arc<Identity> {
    let name = ReplicaName::new(replica).unwrap();
    Arc::new(Identity::new(Tier::Global, &name, None, 1).unwrap())
}

pub(super) fn draft(region: &str, action: Action) -> Draft {
    Draft {
        scope: Scope::Region(RegionName::new(region).unwrap()),
        action,
        keep_percent: 0,
        from_percent: 100,
        ramp_s: 0,
        session_policy: SessionPolicy::Migrate,
        session_grace_s: 0,
        reason: "maintenance".to_owned(),
        actor: "ada".to_owned(),
        ticket: None,
        expires_ms: None,
        overrides: Vec::new(),
        if_version: None,
    }
}

pub(super) fn post(path: &str, body: &impl serde::Serialize) -> Write {
    Write {
        path: path.to_owned(),
        body: serde_json::to_value(body).unwrap(),
        if_match: None,
    }
}

#[tokio::test]
async fn an_order_is_in_force_and_told_when_it_is_taken() {
    let orders = Orders::in_memory(identity("g1"));
    let receipt = orders.submit(draft("eu", Action::Drain)).await.unwrap();
    assert!(receipt.changed && !receipt.durable && receipt.note.is_some());
    let scope = receipt.record.scope.clone();
    assert_eq!(orders.book().get(&scope), Some(&receipt.record));
    orders.changed().await;
    let again = orders.submit(draft("eu", Action::Drain)).await.unwrap();
    assert!(!again.changed);
    let mut late = draft("eu", Action::Undrain);
    late.if_version = Some(0);
    let error = orders.submit(late).await.unwrap_err();
    let SubmitError::Conflict { current, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(current.unwrap().version, 1);
    let mut bad = draft("eu", Action::Drain);
    bad.keep_percent = 101;
    let error = orders.submit(bad).await.unwrap_err();
    assert!(matches!(error, SubmitError::Invalid(_)), "{error}");
}

#[tokio::test]
async fn of_two_with_one_version_in_view_one_is_taken() {
    let orders = Orders::in_memory(identity("g1"));
    let tries = (0..20).map(|i| {
        let mut one = draft("eu", Action::Drain);
        (one.actor, one.if_version) = (format!("person {i}"), Some(0));
        let orders = orders.clone();
        tokio::spawn(async move { orders.submit(one).await.is_ok() })
    });
    let mut taken = 0;
    for one in tries.collect::<Vec<_>>() {
        taken += u32::from(one.await.unwrap());
    }
    assert_eq!(taken, 1);
}

#[tokio::test]
async fn replicas_that_heard_of_each_other_know_the_same() {
    let [a, b] = ["g1", "g2"].map(|name| Orders::in_memory(identity(name)));
    a.submit(draft("eu", Action::Drain)).await.unwrap();
    b.submit(draft("us", Action::Drain)).await.unwrap();
    assert_ne!(a.sheet().hash, b.sheet().hash);
    assert_eq!(a.merge(&b.sheet()), Ok(1));
    assert_eq!(b.merge(&a.sheet()), Ok(1));
    assert_eq!(a.merge(&b.sheet()), Ok(0), "no news");
    assert_eq!(a.sheet().hash, b.sheet().hash);
    let undrain = b.submit(draft("eu", Action::Undrain)).await.unwrap();
    assert_eq!(undrain.record.version, 2, "in view of what the other took");
}

#[test]
fn what_must_not_be_merged_is_refused_by_name() {
    let [a, b] = ["g1", "g2"].map(|name| Orders::in_memory(identity(name)));
    let spoilt = |spoil: fn(&mut Sheet)| {
        let mut sheet = b.sheet();
        spoil(&mut sheet);
        a.merge(&sheet).unwrap_err().to_string()
    };
    let newer = spoilt(|sheet| sheet.snapshot.format = 2);
    assert!(newer.contains("format 2"), "{newer}");
    let foreign = spoilt(|sheet| sheet.from.region = Some("eu".to_owned()));
    assert!(foreign.contains("g2 belongs to another"), "{foreign}");
    let ahead = spoilt(|sheet| sheet.stamp.wall_ms += MOST_AHEAD + 60_000);
    assert!(
        ahead.contains("replica g2") && ahead.contains("NTP"),
        "{ahead}"
    );
}

#[tokio::test]
async fn the_routes_take_orders_and_sheets() {
    let [a, b] = ["g1", "g2"].map(|name| Orders::in_memory(identity(name)));
    let order = post("/api/v1/orders", &draft("eu", Action::Drain));
    let done = write(&a, &order).await.unwrap();
    assert_eq!((done.status.as_u16(), &*done.actor), (200, "ada"));
    assert_eq!(done.body["record"]["version"], 1);
    let done = write(&b, &post("/api/v1/state", &a.sheet())).await.unwrap();
    assert_eq!((done.status.as_u16(), &*done.actor), (200, "g1"));
    assert_eq!(
        (&done.body["taken"], &done.body["hash"]),
        (&1.into(), &a.sheet().hash.into())
    );
    let mut late = post("/api/v1/orders", &draft("eu", Action::Undrain));
    late.if_match = Some(7);
    let done = write(&a, &late).await.unwrap();
    assert_eq!(done.status, 412);
    assert_eq!(done.body["current"]["version"], 1);
    let done = write(&a, &post("/api/v1/orders", &"x")).await.unwrap();
    assert_eq!(done.status, 400);
    assert!(
        write(&a, &post("/api/v1/regions/eu/drain", &"x"))
            .await
            .is_none()
    );
}
