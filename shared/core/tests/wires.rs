//! What version 0.1.0 says to its neighbours, kept as it said it: every later version has to understand that, because both run side by
//! side in each rolling update. And the same with what a later version may add, which this one has to overlook.
//!
//! The files are in `tests/goldens/`, a directory for each version that was shipped. They are never changed; a version that says more adds a
//! directory.

use lb_core::drain::{Action, Scope};
use lb_core::region::report::{MAX_COMPACT, RegionReport};
use lb_core::status::{
    EndpointState, Handover, HandoverPhase, PoolStatus, RegionStatus, ReplicaIdentity, Sheet,
    SheetAck, Status, Tier,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn versions() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens");
    let entries = std::fs::read_dir(all).unwrap();
    let found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(!found.is_empty());
    found
}

/// Adds a field that nobody knows to every object that is a struct's: not to what has names of its own.
fn enlarge(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(enlarge);
            // An enum with data is an object of one field.
            if fields.len() > 1 {
                let added = serde_json::json!({ "by": ["a", "later", "version"] });
                fields.insert("zz_added".to_owned(), added);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(enlarge),
        _ => {}
    }
}

/// Reads a file of a version, as it is and with more in it.
fn read<T: DeserializeOwned + PartialEq + std::fmt::Debug>(version: &Path, name: &str) -> T {
    let path = version.join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let known = serde_json::from_str(&text);
    let known: T = known.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut value: Value = serde_json::from_str(&text).unwrap();
    enlarge(&mut value);
    assert_ne!(value, serde_json::from_str::<Value>(&text).unwrap());
    let later = serde_json::from_value(value);
    let later: T = later.unwrap_or_else(|error| panic!("{} and more: {error}", path.display()));
    assert_eq!(known, later, "what is added changes nothing");
    known
}

#[test]
fn reports_are_read() {
    for version in versions() {
        let report: RegionReport = read(&version, "region-status.json");
        assert_eq!(
            (report.region.as_str(), report.endpoints_healthy),
            ("eu-west", 3)
        );
        let text = std::fs::read_to_string(version.join("region-load.txt")).unwrap();
        let text = text.trim();
        assert!(text.len() < MAX_COMPACT);
        let short = RegionReport::from_compact(text).unwrap();
        assert_eq!(short.region, report.region);
        let more = format!("{text};zz=1;added=by-a-later-version");
        assert_eq!(RegionReport::from_compact(&more), Ok(short));
    }
}

#[test]
fn orders_are_read() {
    for version in versions() {
        let sheet: Sheet = read(&version, "sheet.json");
        assert_eq!(sheet.from.tier, Tier::Global);
        let [record] = sheet.snapshot.records.as_slice() else {
            panic!("{sheet:?}");
        };
        assert!(matches!(&record.scope, Scope::Region(name) if name.as_str() == "eu-west"));
        assert_eq!((record.action, record.keep_percent), (Action::Drain, 0));
        assert_eq!(record.version, 1);
        let _: SheetAck = read(&version, "sheet-ack.json");
    }
}

#[test]
fn statuses_are_read() {
    for version in versions() {
        let global: Status = read(&version, "global-status.json");
        assert_eq!((global.tier, global.ready), (Tier::Global, true));
        let regional: Status = read(&version, "regional-status.json");
        assert_eq!(regional.tier, Tier::Regional);
        let regions: Vec<RegionStatus> = read(&version, "regions.json");
        assert_eq!(regions.len(), 3);
        let pools: Vec<PoolStatus> = read(&version, "pools.json");
        let states = pools.iter().flat_map(|pool| &pool.endpoints);
        assert!(states.clone().count() == 3);
        assert!(
            states
                .into_iter()
                .all(|one| one.state == EndpointState::Healthy)
        );
        let replica: ReplicaIdentity = read(&version, "replica.json");
        assert_eq!(replica.replica, "global-1");
        let handover: Handover = read(&version, "handover.json");
        assert_eq!(handover.phase, HandoverPhase::None);
    }
}
