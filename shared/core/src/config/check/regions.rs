//! Regions and their replicas (global tier).

use super::duplicates::{self, Seen};
use super::health::nearest;
use super::report::Report;
use super::{health, upstream};
use crate::config::address::ServerAddress;
use crate::config::model::{Global, Listener, Region};
use crate::config::read::{Code, Path};
use crate::config::scalar::DurationText;

const LEAST: DurationText = DurationText::millis(1);

pub(super) fn check(report: &mut Report<'_>, regions: &[Region], listeners: &[Listener]) {
    let list = Path::root().key("regions");
    let names = regions.iter().map(|region| region.name.as_str());
    duplicates::names(report, &list, "region", "", names);
    addresses(report, regions, listeners, &list);
    for (at, region) in regions.iter().enumerate() {
        one(report, region, &list.index(at));
    }
    if !regions.is_empty() && regions.iter().all(|region| region.weight == 0) {
        report.key(
            &list,
            Code::Conflict,
            "every region has weight 0: none would get a request",
            "give at least one region a weight of 1 or more",
        );
    }
}

pub(super) fn failover(report: &mut Report<'_>, config: &Global) {
    let path = Path::root().key("failover");
    let failover = &config.failover;
    let none = DurationText::millis(0);
    for (key, value, least) in [
        ("ejection", failover.ejection, LEAST),
        ("return_after", failover.return_after, none),
        ("ramp", failover.ramp, none),
        ("hold_down", failover.hold_down, none),
        ("hold_down_max", failover.hold_down_max, none),
    ] {
        report.duration(&path.key(key), value, least);
    }
    if failover.hold_down > failover.hold_down_max {
        report.value(
            &nearest(report, path.key("hold_down"), path.key("hold_down_max")),
            Code::Conflict,
            format!(
                "a region is held down for {} first and for {} at most",
                failover.hold_down, failover.hold_down_max
            ),
            "set hold_down to hold_down_max or less",
        );
    }
    if failover.spill_start >= failover.spill_full {
        report.value(
            &nearest(report, path.key("spill_start"), path.key("spill_full")),
            Code::Conflict,
            format!(
                "spill grows between {} and {}, so the first must be the smaller one",
                failover.spill_start, failover.spill_full
            ),
            "leave ten points between them, or traffic moves in jolts",
        );
    }
    if failover.override_header.is_some() && config.trusted_proxies.is_empty() {
        report.key(
            &path.key("override_header"),
            Code::Unreachable,
            "the header is believed from trusted proxies only, and there are none",
            "list the addresses that set it in trusted_proxies",
        );
    }
}

fn one(report: &mut Report<'_>, region: &Region, path: &Path) {
    let owner = format!("the region \"{}\"", region.name);
    let replicas = path.key("replicas");
    let names = region.replicas.iter().map(|replica| replica.name.as_str());
    let scope = format!(" in the region \"{}\"", region.name);
    duplicates::names(report, &replicas, "replica", &scope, names);
    if !region.replicas.is_empty() && region.replicas.iter().all(|replica| replica.weight == 0) {
        report.key(
            &replicas,
            Code::Conflict,
            format!("every replica of {owner} has weight 0: none would get a request"),
            "give one a weight of 1 or more; to drain the region, set the region's weight to 0",
        );
    }
    let tls = path.key("tls");
    upstream::tls(report, region.tls.as_ref(), &owner, &tls);
    if let Some(check) = &region.health_check {
        health::check(
            report,
            check,
            region.protocol,
            &owner,
            &path.key("health_check"),
        );
    }
    health::outlier(report, &region.outlier, &owner, &path.key("outlier"));
    report.duration(&path.key("idle_timeout"), region.idle_timeout, LEAST);
}

/// A process is one replica of one region: two entries with its address would count it twice.
fn addresses(report: &mut Report<'_>, regions: &[Region], listeners: &[Listener], list: &Path) {
    let (mut serving, mut admin) = (Seen::new(), Seen::new());
    for (region_at, region) in regions.iter().enumerate() {
        for (at, replica) in region.replicas.iter().enumerate() {
            let path = list.index(region_at).key("replicas").index(at);
            let owner = format!("the replica \"{}\"", replica.name);
            let remedy = "each replica is listed once, in its own region";
            if let Ok(address) = ServerAddress::parse(&replica.address) {
                let place = path.key("address");
                upstream::not_ourselves(report, &address, listeners, &owner, || place.clone());
                if let Some(first) = serving.again(address, place.clone()) {
                    let reason = format!("{owner} has the address of another replica");
                    report.repeated(&place, &first, reason, remedy);
                }
            }
            let address = replica.admin.as_deref().map(ServerAddress::parse);
            if let Some(Ok(address)) = address {
                let place = path.key("admin");
                if let Some(first) = admin.again(address, place.clone()) {
                    let reason = format!("{owner} has the admin address of another replica");
                    report.repeated(&place, &first, reason, remedy);
                }
            }
        }
    }
}
