//! `lbctl region drains`, and what other verbs tell of orders.

use super::now_ms;
use super::roster::{Member, Roster, Seen};
use super::tell;
use crate::args::Options;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::View;
use crate::present::{self, Answered};
use crate::table::{Cell, Table, Tone, clean, number, paint, text};
use crate::words;
use lb_core::drain::{DrainStatus, Record, Stage};
use lb_core::status::{Status, Tier};
use serde::Deserialize;
use std::collections::BTreeMap;

/// One order, as all who share it see it.
#[derive(Debug, Default)]
struct Joint {
    seen: Vec<DrainStatus>,
    /// Sisters of those who have seen it, themselves included.
    all: usize,
    /// Sisters that could not be asked.
    silent: usize,
}

/// Orders by the sisters that share them (tier and region) and by what they are about.
type Joints = BTreeMap<(&'static str, String, String), Joint>;

/// Lists the orders.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let client = Client::new(options)?;
    let draw = |_: &[Answered<Vec<DrainStatus>>], view: View| {
        let roster = Roster::find(&client);
        let views = roster.views(&client);
        let table = table(&joints(&roster.members, &views), now_ms());
        let drawn = table.draw(view);
        if drawn.is_empty() {
            return "no orders in force\n".to_owned();
        }
        drawn
    };
    present::show(
        options,
        "/api/v1/drains",
        draw,
        |list: &Vec<DrainStatus>| list.iter().map(|status| status.scope.clone()).collect(),
    )
}

/// The line of `lbctl status`; nothing without orders, and nothing from replicas that don't know orders.
pub(crate) fn line(client: &Client, answers: &[Answered<Status>], view: View) -> String {
    let asked = answers
        .iter()
        .map(|(admin, status)| (admin.clone(), Some(status.clone())));
    let mut roster = Roster::of(asked.collect());
    // They would keep us waiting.
    for gone in roster.members.iter_mut().filter(|member| member.is_gone) {
        gone.admin = None;
    }
    let views = roster.views(client);
    let told = summary(&joints(&roster.members, &views), now_ms());
    if told.is_empty() {
        return told;
    }
    let told = paint(&clean(&told), Tone::Warn, view.colour);
    format!("\ndrains  {told}\n")
}

/// How far the order on each region is at each replica that can tell, for `lbctl regions`.
pub(crate) fn by_admin(client: &Client) -> BTreeMap<String, Vec<DrainStatus>> {
    let answers = client.ask_all("/api/v1/drains").into_iter();
    answers
        .filter_map(|answer| {
            let list = Vec::deserialize(answer.result.ok()?).ok()?;
            Some((answer.admin, list))
        })
        .collect()
}

fn joints(members: &[Member], views: &[Seen]) -> Joints {
    let mut joints = Joints::new();
    for (member, seen) in members.iter().zip(views) {
        for status in seen.iter().flatten() {
            let tier = member.tier.map_or("", Tier::as_str);
            let region = member.region.clone().unwrap_or_default();
            let key = (tier, region, status.scope.clone());
            let joint = joints.entry(key).or_insert_with(|| Joint {
                all: members.iter().filter(|m| m.is_sister(member)).count(),
                silent: members
                    .iter()
                    .zip(views)
                    .filter(|(m, seen)| m.is_sister(member) && seen.is_err())
                    .count(),
                seen: Vec::new(),
            });
            joint.seen.push(status.clone());
        }
    }
    joints
}

// === impl Joint ===

impl Joint {
    /// The latest order that anyone has seen.
    fn record(&self) -> Option<&Record> {
        let records = self.seen.iter().filter_map(|status| status.record.as_ref());
        records.max_by(|a, b| a.updated.cmp(&b.updated))
    }

    /// The stages with their counts, the commonest first: `drained 2/3, draining 1/3`.
    fn stages(&self) -> String {
        let mut counts: Vec<(&str, usize)> = Vec::new();
        let stages = self.seen.iter().map(|status| status.stage.as_str());
        let lacks = self.all.saturating_sub(self.seen.len() + self.silent);
        let rest = [("not known", lacks), ("no answer", self.silent)];
        let rest = rest
            .into_iter()
            .flat_map(|(word, count)| std::iter::repeat_n(word, count));
        for word in stages.chain(rest) {
            match counts.iter_mut().find(|(known, _)| *known == word) {
                Some((_, count)) => *count += 1,
                None => counts.push((word, 1)),
            }
        }
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let told = counts
            .iter()
            .map(|(word, n)| format!("{word} {n}/{}", self.all));
        told.collect::<Vec<_>>().join(", ")
    }

    /// The stage that most needs to be seen: the first that is not everybody's, or everybody's.
    fn stage(&self) -> Stage {
        let stages = || self.seen.iter().map(|status| status.stage);
        let bad = |stage: &Stage| matches!(stage, Stage::Suspended | Stage::ExpiredUnhealthy);
        stages()
            .find(bad)
            .or_else(|| stages().next())
            .unwrap_or_default()
    }
}

fn table(joints: &Joints, now_ms: u64) -> Table {
    let mut table = Table::new([
        text("SCOPE"),
        text("STAGE"),
        text("REPLICAS"),
        number("SHARE"),
        number("TO"),
        number("LEFT"),
        number("INFLIGHT"),
        text("HELD BY"),
        text("WHO"),
        text("WHY"),
        text("END"),
        number("VERSION"),
        text("TICKET").wide(),
        text("SESSIONS").wide(),
        text("OVERRIDES").wide(),
        text("AMONG").wide(),
    ]);
    for ((tier, region, scope), joint) in joints {
        let record = joint.record();
        let share = joint.seen.iter().map(|s| s.share).fold(0.0, f64::max);
        let left = joint.seen.iter().map(|s| s.left_ms).max().unwrap_or(0);
        let in_flight: u64 = joint.seen.iter().map(|s| s.in_flight).sum();
        let held = joint.seen.iter().find_map(|s| s.held_by.as_deref());
        table.row([
            Cell::from(scope),
            words::drain(joint.stage()),
            joint.stages().into(),
            words::percent(Some(share)).into(),
            words::or_dash(record.map(|r| format!("{}%", r.keep_percent))).into(),
            words::age(left).into(),
            in_flight.to_string().into(),
            words::or_dash(held).into(),
            words::or_dash(record.map(|r| &r.actor)).into(),
            words::or_dash(record.map(|r| &r.reason)).into(),
            words::or_dash(record.map(|r| tell::end(r, now_ms))).into(),
            words::or_dash(record.map(|r| r.version)).into(),
            words::or_dash(record.and_then(|r| r.ticket.as_ref())).into(),
            words::or_dash(record.map(sessions)).into(),
            words::or_dash(record.map(overrides)).into(),
            format!("{tier} {region}").trim_end().into(),
        ]);
    }
    table
}

fn sessions(record: &Record) -> String {
    match record.session_policy {
        lb_core::drain::SessionPolicy::Migrate => "migrate".to_owned(),
        lb_core::drain::SessionPolicy::Honor => {
            let grace = words::age(u64::from(record.session_grace_s) * 1000);
            format!("honor for {grace}")
        }
    }
}

fn overrides(record: &Record) -> String {
    let names: Vec<&str> = record.overrides.iter().map(|rule| rule.as_str()).collect();
    if names.is_empty() {
        "-".to_owned()
    } else {
        names.join(",")
    }
}

fn summary(joints: &Joints, now_ms: u64) -> String {
    let told = joints.iter().map(|((_, _, scope), joint)| {
        let name = scope
            .split_once('/')
            .map_or(scope.as_str(), |(_, name)| name);
        let stages = joint.stages();
        match joint.record() {
            Some(record) => format!("{name} {stages} ({})", tell::author(record, now_ms)),
            None => format!("{name} {stages}"),
        }
    });
    told.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
