//! Orders for tests.

use super::roster::Member;
use lb_core::drain::*;
use lb_core::name::RegionName;
use lb_core::status::Tier;

pub(super) const NOW: u64 = 1_700_000_000_000;

pub(super) fn record() -> Record {
    Record {
        scope: Scope::Region(RegionName::new("eu").unwrap()),
        action: Action::Drain,
        keep_percent: 0,
        from_percent: 100,
        ramp_s: 60,
        session_policy: SessionPolicy::Migrate,
        session_grace_s: 300,
        reason: "maintenance".to_owned(),
        actor: "ada".to_owned(),
        ticket: Some("OPS-7".to_owned()),
        created: stamp(0),
        updated: stamp(0),
        expires_ms: Some(NOW + 7_080_000),
        overrides: Vec::new(),
        version: 1,
    }
}

pub(super) fn stamp(later_ms: u64) -> Stamp {
    Stamp {
        wall_ms: NOW + later_ms,
        counter: 0,
        replica: "g1".to_owned(),
    }
}

pub(super) fn answer(record: Record) -> Answer {
    Answer {
        record,
        forecast: None,
        dry_run: false,
        unchanged: false,
        durable: true,
        applied: vec!["g1".to_owned()],
        missing: Vec::new(),
    }
}

pub(super) fn status(record: &Record, stage: Stage) -> DrainStatus {
    DrainStatus {
        scope: record.scope.to_string(),
        stage,
        share: 0.0,
        left_ms: 0,
        held_by: None,
        in_flight: 0,
        record: Some(record.clone()),
    }
}

pub(super) fn member(name: &str) -> Member {
    Member {
        name: name.to_owned(),
        admin: Some(format!("10.0.0.1:{}", name.len())),
        tier: Some(Tier::Global),
        region: None,
        is_gone: false,
    }
}

/// Two receivers, of which one has no room; N+1 is lost.
pub(super) fn forecast() -> Forecast {
    let receiver = |region: &str, before, after, takes_rps, fit| Receiver {
        region: RegionName::new(region).unwrap(),
        takes_rps,
        before: Some(before),
        after: Some(after),
        fit,
    };
    Forecast {
        region: RegionName::new("eu").unwrap(),
        moves_rps: Some(120.0),
        receivers: vec![
            receiver("us", 0.62, 1.04, 80.0, Fit::Over),
            receiver("ap", 0.3, 0.5, 40.0, Fit::Fits),
        ],
        refusals: vec![Refusal {
            rule: Rule::OverCapacity,
            why: "us would be filled to 104 % (now 62 %)".to_owned(),
        }],
        survives_one_more: Some(false),
    }
}
