//! The region step: who is left, what scales each region's part, and the choice.

use super::Subject;
use crate::clock;
use crate::plan::Plan;
use crate::upstream::{Pool, RegionRoute, RegionView, cookie, region_text};
use lb_core::balance::hash::stable_hash;
use lb_core::config::model::Location;
use lb_core::region::choice::{Note, Remark, Step};
use lb_core::region::{Ask, Choice, Ranking, Removal};
use lb_core::status::{Explain, ExplainStep, Removed};
use std::net::IpAddr;
use std::sync::Arc;

/// Explains the choice of a region; the replicas of the one that was chosen come back.
pub(super) fn region(
    plan: &Plan,
    route: &RegionRoute,
    subject: &Subject,
    answer: &mut Explain,
) -> Option<Arc<Pool>> {
    let view = route.set.view();
    let location = subject.client.and_then(|client| locate(plan, client));
    let ranking = route.rank(&view, location);
    let (ask, ignored) = ask(route, subject);
    answer.steps.push(ranks(route, &view, &ranking));
    answer
        .steps
        .extend(remarks(route, &ranking.trace(&view.candidates, &ask)));
    answer.steps.extend(ignored.map(|why| ExplainStep {
        step: format!("sticky: the cookie is ignored: {why}"),
        ..ExplainStep::default()
    }));
    if view.fails_open {
        answer.steps.push(ExplainStep {
            step: "fail open: no region is left, so that all are used".to_owned(),
            ..ExplainStep::default()
        });
    }
    let choice = clock::with_rng(|rng| ranking.choose(&view.candidates, &ask, |_| false, rng));
    match choice {
        Choice::Region(picked) => {
            let entry = route.set.regions.get(picked.index)?;
            answer.region = Some(entry.name.to_string());
            if let Some(home) = picked.home.filter(|home| *home != picked.index) {
                answer.steps.push(ExplainStep {
                    step: format!("it belongs to {} and goes elsewhere", name(route, home)),
                    kept: vec![entry.name.to_string()],
                    removed: Vec::new(),
                });
            }
            if picked.last_resort {
                answer.steps.push(ExplainStep {
                    step: "last resort: no region is usable".to_owned(),
                    kept: vec![entry.name.to_string()],
                    removed: Vec::new(),
                });
            }
            Some(entry.pool.clone())
        }
        Choice::Full(home) => {
            let home = name(route, home);
            answer.decision =
                format!("503: it belongs to region {home}, which is out, and no other has room");
            None
        }
        Choice::Exhausted => {
            answer.decision = "503: the route allows no region".to_owned();
            None
        }
    }
}

/// Who is of the best usable rank, and why the others are not.
fn ranks(route: &RegionRoute, view: &RegionView, ranking: &Ranking) -> ExplainStep {
    let (mut kept, mut removed) = (Vec::new(), Vec::new());
    for (index, reason) in ranking.explain(&view.candidates).into_iter().enumerate() {
        match reason {
            None => kept.push(name(route, index)),
            Some(reason) => removed.push(Removed {
                what: name(route, index),
                why: why(view, index, reason),
            }),
        }
    }
    ExplainStep {
        step: format!("choose a region by {:?}", route.order).to_lowercase(),
        kept,
        removed,
    }
}

/// What scales a region's part, and who is preferred: a step for each remark that says something.
fn remarks(route: &RegionRoute, notes: &[Note]) -> Vec<ExplainStep> {
    let told = |note: &Note| {
        let region = name(route, note.index);
        let cookie = note.step == Step::Sticky;
        let text = match note.remark {
            Remark::Preferred if cookie => format!("{region} is named by the cookie"),
            Remark::NotAvailable if cookie => {
                format!("{region} is named by the cookie, but not to be had")
            }
            Remark::Keeps(share) if cookie => format!(
                "{region} keeps {} of the requests with its cookie, and fewer of the others",
                percent(share)
            ),
            Remark::Removed(_) | Remark::Rank(_) => return None,
            Remark::Preferred => format!("{region} is named by the request"),
            Remark::NotAvailable => format!("{region} is named by the request, but not to be had"),
            Remark::Keeps(share) => format!("{region} keeps {}", percent(share)),
            Remark::Flow { spill, room, spare } => format!(
                "{region} gives away {}, and has room for {} of the requests of regions that are out and {} of what others give away",
                percent(spill),
                percent(room),
                percent(spare)
            ),
        };
        Some(ExplainStep {
            step: format!("{}: {text}", note.step.label()),
            ..ExplainStep::default()
        })
    };
    notes.iter().filter_map(told).collect()
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn name(route: &RegionRoute, index: usize) -> String {
    let entry = route.set.regions.get(index);
    entry.map_or_else(String::new, |region| region.name.to_string())
}

fn why(view: &RegionView, index: usize, reason: Removal) -> String {
    match reason {
        Removal::NotAllowed => "the route does not allow it".to_owned(),
        Removal::Offline => "offline".to_owned(),
        Removal::Drained => match view.notes.get(index) {
            Some(note) if note.leaving => format!("leaving: {}", region_text::LEAVING),
            _ => "drained: weight 0".to_owned(),
        },
        Removal::Unhealthy => {
            let note = view.notes.get(index);
            let text = note.map(|note| region_text::describe(note, clock::now()));
            text.filter(|text| !text.is_empty())
                .unwrap_or_else(|| "too little of it is healthy".to_owned())
        }
        Removal::WorseRank => "a region of a better rank is usable".to_owned(),
        Removal::NoRoom => "no room for requests of other regions".to_owned(),
    }
}

/// What the request brings, and why its cookie is ignored, if it is.
fn ask(route: &RegionRoute, subject: &Subject) -> (Ask, Option<String>) {
    let (sticky, ignored) = bound(route, subject);
    let header = route.set.failover.override_header.as_ref();
    let named = header
        .and_then(|header| subject.headers.get(header.as_str()))
        .and_then(|value| value.to_str().ok());
    let ask = Ask {
        client: subject.client.map(|client| match client {
            IpAddr::V4(ip) => stable_hash(&ip.octets()),
            IpAddr::V6(ip) => stable_hash(&ip.octets()),
        }),
        sticky,
        demanded: named.and_then(|name| route.position(name)),
        spill: route.spill,
    };
    (ask, ignored)
}

/// The region that the cookie binds the request to, or why it binds it to none.
fn bound(route: &RegionRoute, subject: &Subject) -> (Option<usize>, Option<String>) {
    let sticky = route.sticky.as_ref();
    let found = sticky.and_then(|s| Some(s.target(cookie(&subject.headers, &s.cookie)?)));
    match found {
        None => (None, None),
        Some(Err(bad)) => (None, Some(bad.to_string())),
        Some(Ok(region)) => match route.position(region) {
            None => (None, Some(format!("there is no region {region} any more"))),
            at => (at, None),
        },
    }
}

fn locate(plan: &Plan, client: IpAddr) -> Option<Location> {
    let ranges = plan
        .geo
        .networks
        .iter()
        .filter(|(range, _)| range.0.contains(&client));
    ranges
        .max_by_key(|(range, _)| range.0.prefix_len())
        .map(|(_, location)| *location)
}
