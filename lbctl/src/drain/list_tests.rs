use super::super::fixtures::{NOW, member, record, status};
use super::*;

fn fleet(views: Vec<Seen>) -> Joints {
    let members: Vec<Member> = ["g1", "g2", "g3"].map(member).to_vec();
    joints(&members, &views)
}

fn drained() -> Seen {
    Ok(vec![status(&record(), Stage::Drained)])
}

#[test]
fn one_line_tells_how_far_all_are() {
    let told = summary(&fleet(vec![drained(), drained(), drained()]), NOW);
    assert_eq!(
        told,
        "eu drained 3/3 (by ada: maintenance (OPS-7), expires in 1h58m)"
    );
    let lagging = Ok(vec![status(&record(), Stage::Draining)]);
    let told = summary(&fleet(vec![drained(), lagging, Ok(Vec::new())]), NOW);
    assert!(told.starts_with("eu drained 1/3, draining 1/3, not known 1/3 ("));
    let told = summary(
        &fleet(vec![drained(), drained(), Err("gone".to_owned())]),
        NOW,
    );
    assert!(told.starts_with("eu drained 2/3, no answer 1/3 ("));
    assert_eq!(summary(&fleet(vec![Ok(Vec::new()); 3]), NOW), "");
}

#[test]
fn tiers_and_regions_are_told_apart() {
    let of = |name: &str, region: &str| Member {
        tier: Some(Tier::Regional),
        region: Some(region.to_owned()),
        ..member(name)
    };
    let members = [of("r1", "eu"), of("r2", "eu"), of("r1", "us")];
    let server = DrainStatus {
        scope: "server/web/web-1".to_owned(),
        record: None,
        ..status(&record(), Stage::Drained)
    };
    let views = vec![
        Ok(vec![server.clone()]),
        Ok(vec![server.clone()]),
        Ok(vec![server]),
    ];
    assert_eq!(
        summary(&joints(&members, &views), NOW),
        "web/web-1 drained 2/2; web/web-1 drained 1/1"
    );
}

#[test]
fn orders_are_rows() {
    let mut other = record();
    other.scope = lb_core::drain::Scope::Region(lb_core::name::RegionName::new("us").unwrap());
    other.expires_ms = None;
    let ramping = DrainStatus {
        share: 0.4,
        left_ms: 24_000,
        in_flight: 12,
        held_by: Some("ap".to_owned()),
        ..status(&other, Stage::Ramping)
    };
    let both = |stage| Ok(vec![status(&record(), stage), ramping.clone()]);
    let joints = fleet(vec![both(Stage::Drained), both(Stage::Drained), drained()]);
    insta::assert_snapshot!("drains", table(&joints, NOW).draw(View::default()));
    let view = View {
        wide: true,
        colour: false,
    };
    insta::assert_snapshot!("drains_wide", table(&joints, NOW).draw(view));
}
