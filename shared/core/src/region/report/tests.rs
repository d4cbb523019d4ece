use super::*;
use crate::time::Instant;
use proptest::prelude::*;
use std::time::Duration;

const AGE: Duration = Duration::from_secs(5);

fn report(replica: &str, boot_id: u64, seq: u64) -> RegionReport {
    RegionReport {
        region: RegionName::new("eu").unwrap(),
        replica: ReplicaName::new(replica).unwrap(),
        boot_id,
        seq,
        endpoints_total: 4,
        endpoints_healthy: 3,
        healthy_weight_fraction: Fraction::new(0.75).unwrap(),
        capacity_rps: Some(Rate::new(1000.0).unwrap()),
        inflight: 10,
        rps: Rate::new(200.0).unwrap(),
        utilization: None,
        shed_rate: Fraction::ZERO,
        err_rate: Fraction::new(0.01).unwrap(),
        draining: false,
    }
}

fn received(report: RegionReport, secs: u64) -> Received {
    Received {
        report,
        at: Instant::from_millis(secs * 1000),
    }
}

fn at(secs: u64) -> Instant {
    Instant::from_millis(secs * 1000)
}

#[test]
fn compact_form_is_stable() {
    assert_eq!(
        report("eu-1", 1_754_000_000_000, 42).to_compact(),
        "v=1;r=eu;n=eu-1;b=1754000000000;s=42;et=4;eh=3;hw=0.75;i=10;q=200;sh=0;er=0.01;c=1000;d=0"
    );
}

#[test]
fn keys_of_a_newer_tier_are_skipped() {
    let text = report("eu-1", 1, 2).to_compact() + ";new=thing;x=";
    assert_eq!(RegionReport::from_compact(&text), Ok(report("eu-1", 1, 2)));
    let json = serde_json::to_string(&report("eu-1", 1, 2)).unwrap();
    let json = json.replacen('{', "{\"new\":[1],", 1);
    assert_eq!(
        serde_json::from_str::<RegionReport>(&json).unwrap(),
        report("eu-1", 1, 2)
    );
}

#[test]
fn compact_faults_are_named() {
    use CompactError::{Missing, Shape, TooLong, Twice, Value, Version};
    let good = report("eu-1", 1, 2).to_compact();
    for (text, fault) in [
        (String::new(), Version),
        (good.replace("v=1", "v=2"), Version),
        (good.replace("v=1;", ""), Version),
        (good.clone() + ";", Shape),
        (good.clone() + ";s=3", Twice("s")),
        (good.replace(";s=2", ""), Missing("s")),
        (good.replace("s=2", "s=+2"), Value("s")),
        (good.replace("s=2", "s="), Value("s")),
        (good.replace("r=eu", "r=e u"), Value("r")),
        (good.replace("hw=0.75", "hw=NaN"), Value("hw")),
        (good.replace("hw=0.75", "hw=inf"), Value("hw")),
        (good.replace("hw=0.75", "hw=1e0"), Value("hw")),
        (good.replace("hw=0.75", "hw=1.01"), Value("hw")),
        (good.replace("hw=0.75", "hw=-0.5"), Value("hw")),
        (good.replace("c=1000", "c=NaN"), Value("c")),
        (good.replace("d=0", "d=yes"), Value("d")),
        (good.clone() + &";k=v".repeat(300), TooLong),
    ] {
        assert_eq!(RegionReport::from_compact(&text), Err(fault), "{text}");
    }
}

#[test]
fn json_refuses_numbers_out_of_range() {
    let json = serde_json::to_string(&report("eu-1", 1, 2)).unwrap();
    for (from, to) in [
        ("\"rps\":200.0", "\"rps\":-1"),
        ("\"rps\":200.0", "\"rps\":1e999"),
        ("\"rps\":200.0", "\"rps\":null"),
        ("\"err_rate\":0.01", "\"err_rate\":2"),
    ] {
        let bad = json.replace(from, to);
        assert_ne!(bad, json, "{from} is not in {json}");
        assert!(serde_json::from_str::<RegionReport>(&bad).is_err(), "{to}");
    }
}

#[test]
fn replicas_share_their_servers() {
    let reports = [
        received(report("eu-1", 1, 1), 10),
        received(report("eu-2", 1, 1), 11),
    ];
    let merged = merge(&reports, at(12), AGE).unwrap();
    assert_eq!((merged.replicas, merged.inflight), (2, 20));
    assert_eq!(
        (merged.endpoints_total, merged.endpoints_healthy),
        (4, 3),
        "not eight"
    );
    assert_eq!(
        merged.capacity_rps.map(Rate::get),
        Some(1000.0),
        "not two thousand"
    );
    assert_eq!(merged.rps.get(), 400.0);
    assert_eq!(merged.utilization.map(Load::get), Some(0.4));
    assert_eq!(merged.age, Duration::from_secs(2));
}

#[test]
fn losing_a_replica_does_not_halve_the_region() {
    let reports = [
        received(report("eu-1", 1, 1), 0),
        received(report("eu-2", 1, 1), 10),
    ];
    let merged = merge(&reports, at(12), AGE).unwrap();
    assert_eq!(
        (merged.replicas, merged.capacity_rps.map(Rate::get)),
        (1, Some(1000.0))
    );
}

#[test]
fn no_fresh_report_is_not_an_empty_region() {
    assert_eq!(merge(&[], at(1), AGE), None);
    assert_eq!(
        merge(&[received(report("eu-1", 1, 1), 0)], at(6), AGE),
        None
    );
}

#[test]
fn of_each_replica_the_newest_report_counts() {
    let mut newer = report("eu-1", 2, 1);
    newer.inflight = 99;
    let reports = [
        received(report("eu-1", 1, 500), 10),
        received(newer, 9),
        received(report("eu-1", 1, 501), 10),
    ];
    assert_eq!(
        merge(&reports, at(10), AGE).unwrap().inflight,
        99,
        "a restart beats any sequence"
    );
}

#[test]
fn a_restart_with_the_clock_set_back_heals_with_age() {
    let mut restarted = report("eu-1", 1, 1);
    restarted.inflight = 7;
    let reports = [received(report("eu-1", 9, 9), 0), received(restarted, 4)];
    assert_eq!(merge(&reports, at(4), AGE).unwrap().inflight, 10);
    assert_eq!(merge(&reports, at(6), AGE).unwrap().inflight, 7);
}

#[test]
fn error_shares_weigh_by_requests_and_idle_regions_have_them_too() {
    let mut quiet = report("eu-2", 1, 1);
    (quiet.rps, quiet.err_rate) = (Rate::ZERO, Fraction::new(1.0).unwrap());
    let reports = [
        received(report("eu-1", 1, 1), 0),
        received(quiet.clone(), 0),
    ];
    assert_eq!(merge(&reports, at(0), AGE).unwrap().err_rate.get(), 0.01);
    let alone = [received(quiet, 0)];
    assert_eq!(merge(&alone, at(0), AGE).unwrap().err_rate.get(), 1.0);
}

#[test]
fn reported_utilization_counts_where_capacity_is_blind() {
    let mut full = report("eu-1", 1, 1);
    full.utilization = Some(Load::new(0.95).unwrap());
    let merged = merge(&[received(full.clone(), 0)], at(0), AGE).unwrap();
    assert_eq!(merged.utilization.map(Load::get), Some(0.95));
    full.capacity_rps = None;
    full.utilization = None;
    let merged = merge(&[received(full, 0)], at(0), AGE).unwrap();
    assert_eq!(merged.utilization, None, "unknown is not zero");
}

fn reports() -> impl Strategy<Value = RegionReport> {
    (
        (
            "[a-z]([a-z0-9-]{0,20}[a-z0-9])?",
            "[a-z]([a-z0-9.-]{0,20}[a-z0-9])?",
        ),
        any::<(u64, u64, u32, u32, u64, bool)>(),
        (0.0f64..=1.0, 0.0f64..=1.0, 0.0f64..=1.0),
        (
            0.0f64..=1e9,
            prop::option::of(0.0f64..=1e9),
            prop::option::of(0.0f64..=1e3),
        ),
    )
        .prop_map(|(names, whole, shares, rates)| RegionReport {
            region: RegionName::new(&names.0).unwrap(),
            replica: ReplicaName::new(&names.1).unwrap(),
            boot_id: whole.0,
            seq: whole.1,
            endpoints_total: whole.2,
            endpoints_healthy: whole.3,
            inflight: whole.4,
            draining: whole.5,
            healthy_weight_fraction: Fraction::new(shares.0).unwrap(),
            shed_rate: Fraction::new(shares.1).unwrap(),
            err_rate: Fraction::new(shares.2).unwrap(),
            rps: Rate::new(rates.0).unwrap(),
            capacity_rps: rates.1.map(Rate::saturating),
            utilization: rates.2.map(Load::saturating),
        })
}

proptest! {
    #[test]
    fn both_forms_give_back_exactly_what_went_in(report in reports()) {
        let compact = report.to_compact();
        prop_assert!(compact.len() < 400, "{} bytes", compact.len());
        prop_assert!(compact.bytes().all(|b| b.is_ascii_graphic()));
        prop_assert_eq!(&RegionReport::from_compact(&compact).unwrap(), &report);
        let json = serde_json::to_vec(&report).unwrap();
        prop_assert_eq!(serde_json::from_slice::<RegionReport>(&json).unwrap(), report);
    }

    #[test]
    fn hostile_text_is_never_a_panic(text in "(v=1;)?([a-z]{1,2}=[-+.0-9a-zA-Z;= ]{0,12};?){0,40}", any in any::<String>()) {
        let _ = RegionReport::from_compact(&text);
        let _ = RegionReport::from_compact(&any);
    }

    #[test]
    fn text_that_was_cut_off_is_void(report in reports(), cut in 0usize..400) {
        let compact = report.to_compact();
        let cut = cut.min(compact.len().saturating_sub(1));
        prop_assert!(RegionReport::from_compact(compact.get(..cut).unwrap_or_default()).is_err());
    }

    #[test]
    fn merged_numbers_stay_in_range(
        reports in prop::collection::vec((reports(), 0u64..10), 0..8), now in 0u64..20,
    ) {
        let reports: Vec<_> = reports.into_iter().map(|(r, secs)| received(r, secs)).collect();
        if let Some(merged) = merge(&reports, at(now), AGE) {
            prop_assert!(merged.age <= AGE);
            prop_assert!(merged.endpoints_healthy <= merged.endpoints_total);
            prop_assert!(merged.replicas >= 1 && merged.draining <= merged.replicas);
            prop_assert!((0.0..=1.0).contains(&merged.healthy_weight_fraction.get()));
            prop_assert!(merged.rps.get().is_finite());
        }
    }
}

#[test]
fn a_limit_in_flight_is_a_capacity_by_littles_law() {
    let rate = capacity_of_limit(50.0, std::time::Duration::from_millis(100));
    assert_eq!(rate.map(Rate::get), Some(500.0));
    assert_eq!(capacity_of_limit(50.0, std::time::Duration::ZERO), None);
    assert_eq!(
        capacity_of_limit(f64::NAN, std::time::Duration::from_secs(1)),
        None
    );
}

#[test]
fn a_region_leaves_when_all_of_its_replicas_say_so() {
    let of = |draining: &[bool]| {
        let reports: Vec<Received> = draining
            .iter()
            .enumerate()
            .map(|(index, draining)| {
                let report = report(&format!("eu-{index}"), 1, 1);
                received(
                    RegionReport {
                        draining: *draining,
                        ..report
                    },
                    0,
                )
            })
            .collect();
        merge(&reports, at(1), AGE).unwrap()
    };
    assert!(of(&[true, true]).is_leaving(2));
    assert!(of(&[true, true]).is_leaving(0), "readiness fails by then");
    assert!(!of(&[true, false]).is_leaving(2), "a rolling restart");
    assert!(!of(&[true]).is_leaving(2), "one is not heard of, but well");
    assert!(!of(&[false]).is_leaving(0));
}
