//! `lbctl region …` and `lbctl server …`: orders that take requests away from a region or server, and give them back.
//!
//! # Problem
//! An operator has several replicas and one intent. Whether the order reached all of them, where the requests go and when the last one is
//! over must be seen from the place where the order was given.
//!
//! # Choice
//! The order goes to one replica, the first that takes it ([`send`]); which replicas should have it is found out meanwhile
//! ([`roster`]), so that the death of the one that took it leaves us with the others' addresses. Then each is asked by itself what it
//! makes of the order ([`follow`], [`sight`]).
//!
//! # Rejected
//! Sending the order to all replicas: some would have it and some not when the connection breaks, and each would judge it by itself.

mod args;
mod confirm;
#[cfg(test)]
mod fixtures;
mod follow;
pub(crate) mod list;
mod parse;
mod plan;
mod progress;
mod roster;
mod send;
mod sight;
mod tell;

pub(crate) use args::{RegionVerb, ServerVerb};

use crate::args::{Format, Options};
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::{self, View};
use crate::token::Token;
use args::Wait;
use follow::{Chase, Followed};
use lb_core::drain::{Answer, Rule};
use plan::Plan;
use progress::Progress;
use roster::Roster;
use send::{Reply, Taken, Turned};
use serde::Serialize;
use serde_json::Value;
use sight::Sights;
use std::io::IsTerminal;
use std::time::SystemTime;

/// Carries out `lbctl region …`.
pub(crate) fn region(options: &Options, verb: RegionVerb) -> Result<(), Failure> {
    match Plan::region(verb)? {
        Some(plan) => carry_out(options, plan),
        None => list::run(options),
    }
}

/// Carries out `lbctl server …`.
pub(crate) fn server(options: &Options, verb: ServerVerb) -> Result<(), Failure> {
    match Plan::server(verb)? {
        Some(plan) => carry_out(options, plan),
        None => list::run(options),
    }
}

fn carry_out(options: &Options, plan: Plan) -> Result<(), Failure> {
    let client = Client::new(options)?;
    let file = options.token_file.as_deref();
    let token = file.map(Token::read).transpose()?.or(options.token.clone());
    if plan.confirm {
        let stdin = std::io::stdin();
        confirm::confirm(&plan, stdin.is_terminal(), stdin.lock(), std::io::stderr())?;
    }
    let is_followed =
        !plan.order.dry_run && (plan.follow.wait != Wait::None || plan.follow.wait_drained);
    let (reply, roster) = std::thread::scope(|scope| {
        let roster = is_followed.then(|| scope.spawn(|| Roster::find(&client)));
        let reply = send::send(&client, &plan, token, options.quiet);
        let roster = roster.and_then(|thread| thread.join().ok());
        (reply, roster.unwrap_or_default())
    });
    match reply? {
        Reply::Refused(turned) => refused(options, &plan, &turned),
        Reply::Taken(taken) if taken.answer.dry_run => dry_run(options, &taken),
        Reply::Taken(taken) => obeyed(options, &client, &plan, *taken, roster),
    }
}

/// The order stands: tells so, and follows it.
fn obeyed(
    options: &Options,
    client: &Client,
    plan: &Plan,
    taken: Taken,
    roster: Roster,
) -> Result<(), Failure> {
    let Taken {
        admin,
        mut value,
        answer,
    } = taken;
    if !answer.durable && !options.quiet {
        eprintln!("▲ {admin} has the order, but not on disk: it forgets it when it restarts alone");
    }
    let view = View::detect(options.output);
    if is_table(options) {
        let unchanged = if answer.unchanged { " (unchanged)" } else { "" };
        let told = tell::order(&answer.record, now_ms());
        let mut text = format!("{told}, version {}{unchanged}\n", answer.record.version);
        text += &told_forecast(&answer, view);
        output::emit(&text)?;
    }
    let (sights, verdict) = followed(options, client, plan, (&admin, &answer), roster)?;
    if is_table(options) {
        let (has, all) = (sights.applied(), sights.all());
        let table = tell::replicas(&sights).draw(view);
        output::emit(&format!("\napplied {has}/{all}\n{table}"))?;
    } else {
        if let Some(object) = value.as_object_mut().filter(|_| sights.all() > 0) {
            object.insert("applied".to_owned(), sights.names(true).into());
            object.insert("missing".to_owned(), sights.names(false).into());
            object.insert("replicas".to_owned(), json(&sights.told())?);
        }
        emit(options, &value, &answer.record.scope.to_string())?;
    }
    if verdict.is_ok() && sights.applied() < sights.all() && !options.quiet {
        eprintln!("▲ not yet: {}", sights.missing());
    }
    verdict
}

fn followed(
    options: &Options,
    client: &Client,
    plan: &Plan,
    (admin, answer): (&str, &Answer),
    roster: Roster,
) -> Result<Followed, Failure> {
    if plan.follow.wait == Wait::None && !plan.follow.wait_drained {
        return Ok((Sights::of(&Roster::default(), Vec::new(), answer), Ok(())));
    }
    let writer = &answer.record.updated.replica;
    let name = if answer.unchanged { "" } else { writer };
    let roster = roster.sisters_of(admin, name, plan.tier());
    let mut progress = Progress::stderr(options.quiet);
    let chase = Chase {
        client,
        roster: &roster,
        answer,
        follow: &plan.follow,
        progress: &mut progress,
    };
    chase.run()
}

/// Nothing was done: tells what would be.
fn dry_run(options: &Options, taken: &Taken) -> Result<(), Failure> {
    let record = &taken.answer.record;
    let forecast = taken.answer.forecast.as_ref();
    if is_table(options) {
        let view = View::detect(options.output);
        let mut text = format!("dry run of {}\n", tell::order(record, now_ms()));
        text += &told_forecast(&taken.answer, view);
        output::emit(&text)?;
    } else {
        emit(options, &taken.value, &record.scope.to_string())?;
    }
    let refusals = forecast.map_or(&[][..], |forecast| &forecast.refusals);
    match tell::override_option(refusals, &record.overrides) {
        None => Ok(()),
        Some(option) => Err(Failure::new(Exit::Refused, "it would be refused")
            .hint(format!("{option} breaks these rules by name, --force all"))),
    }
}

fn told_forecast(answer: &Answer, view: View) -> String {
    let told = |forecast| tell::forecast(forecast, &answer.record.overrides, view);
    answer
        .forecast
        .as_ref()
        .map_or_else(String::new, |forecast| format!("\n{}", told(forecast)))
}

/// It was refused: tells why and by what.
fn refused(options: &Options, plan: &Plan, turned: &Turned) -> Result<(), Failure> {
    let refused = &turned.refused;
    let may_break: &[Rule] = match plan.order.force {
        true => &Rule::ALL,
        false => &plan.order.overrides,
    };
    if is_table(options) {
        let view = View::detect(options.output);
        let mut text = match &refused.forecast {
            Some(forecast) => tell::forecast(forecast, may_break, view),
            None => tell::refusals(&refused.refusals, may_break, view),
        };
        if let Some(current) = &refused.current {
            let told = tell::order(current, now_ms());
            text += &format!("{told}, version {}\n", current.version);
        }
        output::emit(&text)?;
    } else {
        emit(options, &turned.value, &plan.scope.to_string())?;
    }
    let message = format!("{} refused: {}", turned.admin, refused.error);
    let failure = Failure::new(Exit::Refused, message);
    let option = tell::override_option(&refused.refusals, may_break);
    Err(match (refused.hint.as_str(), option) {
        ("", None) => failure,
        ("", Some(option)) => failure.hint(option),
        (hint, Some(option)) if !hint.contains("--override") => {
            failure.hint(format!("{hint}: {option}"))
        }
        (hint, _) => failure.hint(hint),
    })
}

fn emit(options: &Options, value: &Value, name: &str) -> Result<(), Failure> {
    output::emit(&match options.output {
        Format::Yaml => output::yaml(value)?,
        Format::Name => format!("{name}\n"),
        _ => output::json(value)?,
    })
}

fn json(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value)
        .map_err(|error| Failure::new(Exit::Failed, format!("can't write JSON: {error}")))
}

const fn is_table(options: &Options) -> bool {
    matches!(options.output, Format::Table | Format::Wide)
}

/// Milliseconds since 1970 by this machine's clock, which only tells how far away ends are.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
