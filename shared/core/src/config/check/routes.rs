//! Routes: what they match and what they do to a message, on both tiers.

use super::duplicates;
use super::formats::one_line;
use super::health::nearest;
use super::protect;
use super::report::Report;
use crate::config::model::{HeaderEdits, PathMatch, Retry, Route, Timeouts};
use crate::config::read::{Code, Path};
use crate::config::scalar::DurationText;
use crate::route::RouteTable;
use crate::route::edit::{EditError, HeaderPlan};
use crate::route::target::{PrefixRewrite, RedirectPlan};
use std::slice::from_ref;

const LEAST: DurationText = DurationText::millis(1);

pub(super) fn check(report: &mut Report<'_>, routes: &[Route]) {
    let list = Path::root().key("routes");
    duplicates::names(
        report,
        &list,
        "route",
        "",
        routes.iter().map(|route| route.name.as_str()),
    );
    table(report, &list, routes);
    for (at, route) in routes.iter().enumerate() {
        let path = list.index(at);
        actions(report, &path, route);
        edits(
            report,
            &path.key("request_headers"),
            route,
            &route.request_headers,
        );
        edits(
            report,
            &path.key("response_headers"),
            route,
            &route.response_headers,
        );
        timeouts(report, &path.key("timeouts"), route, &route.timeouts);
        retry(report, &path.key("retry"), route, &route.retry);
        protect::route(report, route, &path);
    }
}

/// Compiles all conditions. The table tells its first fault only, so on a fault each route is asked alone.
fn table(report: &mut Report<'_>, list: &Path, routes: &[Route]) {
    if let Ok(table) = RouteTable::new(routes) {
        for conflict in table.conflicts() {
            let names = [conflict.first, conflict.second]
                .map(|at| routes.get(at).map_or("", |route| route.name.as_str()));
            let [first, second] = names;
            let on = conflict
                .host
                .map_or("any host".to_owned(), |host| format!("the host {host}"));
            report.repeated(
                &list.index(conflict.second).key("name"),
                &list.index(conflict.first).key("name"),
                format!("the route \"{second}\" matches the same requests as \"{first}\" on {on}, so it gets none of them"),
                "change the match of one of them, or remove it",
            );
        }
        return;
    }
    for (at, route) in routes.iter().enumerate() {
        if let Err(error) = RouteTable::new(from_ref(route)) {
            let path = nested(&list.index(at), &error.key);
            let reason = format!("the route \"{}\": {}", route.name, one_line(&error.reason));
            let hint = match_hint(route);
            report.value(&path, Code::Invalid, reason, hint);
        }
    }
}

fn match_hint(route: &Route) -> String {
    let name = &route.name;
    match &route.matches.path {
        Some(PathMatch {
            exact: None,
            prefix: None,
            regex: None,
        }) => {
            format!("the route \"{name}\" has an empty `path`: remove it to match any path")
        }
        _ => format!("change the match of the route \"{name}\""),
    }
}

fn actions(report: &mut Report<'_>, path: &Path, route: &Route) {
    let what = format!("the route \"{}\" forwards", route.name);
    let write = "write what to change, such as `{ scheme: https }`, or remove the key";
    report.empty_section(
        &path.key("redirect"),
        route.redirect.is_none(),
        &what,
        write,
    );
    if let Some(redirect) = &route.redirect {
        if let Err(error) = RedirectPlan::new(redirect) {
            report_edit(report, path, route, &error);
        }
        let rewrite = path.key("rewrite");
        if route.rewrite != Default::default() {
            report.key(
                &rewrite,
                Code::Unreachable,
                format!(
                    "the route \"{}\" redirects, so nothing is forwarded that could be rewritten",
                    route.name
                ),
                "remove rewrite; a redirect changes the target by scheme, host and path",
            );
        }
    } else if let Err(error) = PrefixRewrite::new(route) {
        report_edit(report, path, route, &error);
    }
}

/// Tries each edit alone, so that all faults are found.
fn edits(report: &mut Report<'_>, path: &Path, route: &Route, edits: &HeaderEdits) {
    if HeaderPlan::new(edits).is_ok() {
        return;
    }
    for (at, name) in edits.remove.iter().enumerate() {
        let one = HeaderEdits {
            remove: vec![name.clone()],
            ..HeaderEdits::default()
        };
        edit(report, &path.key("remove").index(at), route, &one);
    }
    for (name, value) in &edits.set {
        let one = [(name.clone(), value.clone())].into();
        let one = HeaderEdits {
            set: one,
            ..HeaderEdits::default()
        };
        edit(report, &path.key("set").key(name.clone()), route, &one);
    }
    for (name, value) in &edits.add {
        let one = [(name.clone(), value.clone())].into();
        let one = HeaderEdits {
            add: one,
            ..HeaderEdits::default()
        };
        edit(report, &path.key("add").key(name.clone()), route, &one);
    }
}

fn edit(report: &mut Report<'_>, path: &Path, route: &Route, one: &HeaderEdits) {
    if let Err(error) = HeaderPlan::new(one) {
        let reason = format!("the route \"{}\": {}", route.name, error.reason);
        report.key(
            path,
            Code::Invalid,
            reason,
            "remove this edit, or correct it",
        );
    }
}

fn report_edit(report: &mut Report<'_>, path: &Path, route: &Route, error: &EditError) {
    let reason = format!("the route \"{}\": {}", route.name, error.reason);
    let hint = "see \"Redirects and rewrites\" in docs/configuration.md";
    report.value(&nested(path, &error.key), Code::Invalid, reason, hint);
}

fn timeouts(report: &mut Report<'_>, path: &Path, route: &Route, timeouts: &Timeouts) {
    for (key, value) in [
        ("connect", timeouts.connect),
        ("first_byte", timeouts.first_byte),
        ("idle", timeouts.idle),
        ("request", timeouts.request),
    ] {
        report.duration(&path.key(key), value, LEAST);
    }
    let request = path.key("request");
    for (key, value) in [
        ("connect", timeouts.connect),
        ("first_byte", timeouts.first_byte),
    ] {
        let place = path.key(key);
        let written = report.is_written(&place) && report.is_written(&request);
        if written && value > timeouts.request {
            report.value(
                &place,
                Code::Unreachable,
                format!(
                    "the route \"{}\" gives a whole request {}, so {value} is never reached",
                    route.name, timeouts.request
                ),
                format!("set {key} below request, or raise request"),
            );
        }
    }
}

fn retry(report: &mut Report<'_>, path: &Path, route: &Route, retry: &Retry) {
    let (least, most) = (path.key("backoff_min"), path.key("backoff_max"));
    report.duration(&least, retry.backoff_min, DurationText::millis(0));
    report.duration(&most, retry.backoff_max, DurationText::millis(0));
    if retry.backoff_min > retry.backoff_max {
        report.value(
            &nearest(report, least, most),
            Code::Conflict,
            format!(
                "the route \"{}\" pauses at least {} and at most {}",
                route.name, retry.backoff_min, retry.backoff_max
            ),
            "set backoff_min to backoff_max or less",
        );
    }
    for (at, range) in retry.statuses.iter().enumerate() {
        if range.first < 400 {
            report.value(
                &path.key("statuses").index(at),
                Code::Conflict,
                format!(
                    "the route \"{}\" would repeat requests that succeeded",
                    route.name
                ),
                "name statuses from 400 on, such as 502-504",
            );
        }
    }
}

/// The place of a key such as `match.headers[2].regex` below `path`.
fn nested(path: &Path, key: &str) -> Path {
    let words = key.split(['.', '[', ']']).filter(|word| !word.is_empty());
    words.fold(path.clone(), |path, word| match word.parse::<usize>() {
        Ok(at) => path.index(at),
        Err(_) => path.key(word.to_owned()),
    })
}
