use super::super::fixtures::{NOW, answer, forecast as sample, member, record, status};
use super::super::roster::Roster;
use super::*;
use lb_core::drain::Stage;

#[test]
fn an_order_is_told_in_one_line() {
    assert_eq!(
        order(&record(), NOW),
        "region/eu: drain to 0% over 1m00s, by ada: maintenance (OPS-7), expires in 1h58m"
    );
    let dial = Record {
        action: Action::Dial,
        keep_percent: 30,
        ramp_s: 0,
        expires_ms: None,
        ticket: None,
        reason: "try\nit".to_owned(),
        ..record()
    };
    assert_eq!(
        order(&dial, NOW),
        "region/eu: dial to 30% at once, by ada: try it, never expires"
    );
    let undrain = Record {
        action: Action::Undrain,
        reason: String::new(),
        ticket: None,
        ..record()
    };
    assert_eq!(
        order(&undrain, NOW),
        "region/eu: undrain over 1m00s, by ada"
    );
}

#[test]
fn a_forecast_names_what_breaks_each_rule() {
    let view = View::default();
    let told = forecast(&sample(), &[], view);
    insta::assert_snapshot!("forecast", told);
    let overridden = forecast(&sample(), &[Rule::OverCapacity], view);
    assert!(overridden.contains("overridden (over_capacity)"));
    let refusals = &sample().refusals;
    assert_eq!(
        override_option(refusals, &[]).as_deref(),
        Some("--override over_capacity")
    );
    assert_eq!(override_option(refusals, &Rule::ALL), None);
}

#[test]
fn each_replica_has_a_row() {
    let roster = Roster {
        members: ["g1", "g2", "g3"].map(member).to_vec(),
    };
    let held = lb_core::drain::DrainStatus {
        share: 0.4,
        left_ms: 24_000,
        in_flight: 12,
        held_by: Some("us".to_owned()),
        ..status(&record(), Stage::Ramping)
    };
    let views = vec![Ok(vec![held]), Ok(Vec::new()), Err("refused".to_owned())];
    let sights = Sights::of(&roster, views, &answer(record()));
    insta::assert_snapshot!("replicas", replicas(&sights).draw(View::default()));
}
