//! The operators' verbs of the admin API: drain, dial, turn off, undrain.
//!
//! `POST /api/v1/regions/REGION/{drain,dial,offline,undrain}` at the global tier, `POST /api/v1/servers/POOL/SERVER/{drain,undrain}` at both
//! (at the global tier, pools are regions and servers are their replicas). The body is an [`Order`].
//!
//! # Choice
//! An order is read, turned into a record, checked against the rules with what this replica sees, and only then given to the store. With
//! `dry_run` it goes the same way and stops before the store, so that what was shown is what would happen. The check here is for
//! the operator; what holds everywhere and always is the standing (`lb_core::drain::Board`).
//!
//! # Limits
//! Two orders that are checked at one time at two replicas both pass the check. If they take the last region together, the later one is
//! suspended everywhere; if they only overfill a third region, the ramps are held by its utilisation.

mod list;
mod region;
mod server;

pub(crate) use list::drains;

use crate::admin::{Write, Written};
use crate::clock;
use crate::state;
use crate::worker::Shared;
use http::StatusCode;
use lb_core::drain::{Action, Answer, Draft, Forecast, Order, Record, Refusal, Refused, Scope};
use lb_core::status::Receipt;
use serde::Deserialize;

/// Two commands that differ by less than this in when they end are the same, in milliseconds: who repeats one counts from now.
const SAME_END_MS: u64 = 60_000;

/// What an order may break, and what it would do.
#[derive(Default)]
struct Check {
    refusals: Vec<Refusal>,
    forecast: Option<Forecast>,
}

/// An order with what it is about.
struct Command {
    scope: Scope,
    action: Action,
    order: Order,
}

/// Carries out a verb; none when its path is none of them.
pub(crate) async fn write(shared: &Shared, write: &Write) -> Option<Written> {
    let rest = write.path.strip_prefix("/api/v1/")?;
    let parts: Vec<&str> = rest.split('/').collect();
    let (scope, verb) = match *parts.as_slice() {
        ["regions", name, verb] => (region::find(shared, name), verb),
        ["servers", pool, server, verb] => (server::find(shared, pool, server), verb),
        _ => return None,
    };
    let action = action(verb)?;
    let scope = match scope {
        Ok(Scope::Server { .. }) if matches!(action, Action::Dial | Action::Offline) => {
            return None;
        }
        Ok(scope) => scope,
        Err(unknown) => return Some(unknown),
    };
    let mut order = match Order::deserialize(&write.body) {
        Ok(order) => order,
        Err(error) => {
            let text = format!("the order can't be read: {error}");
            return Some(Written::error(
                StatusCode::BAD_REQUEST,
                &text,
                "see docs/drain.md",
            ));
        }
    };
    order.if_version = write.if_match.or(order.if_version);
    let actor = order.actor.clone();
    let command = Command {
        scope,
        action,
        order,
    };
    let told = format!("{} {}", action.as_str(), command.scope);
    let mut done = carry_out(shared, command).await.by(&actor);
    done.what = format!("{told}: {}", done.what);
    Some(done)
}

fn action(verb: &str) -> Option<Action> {
    let all = [
        Action::Drain,
        Action::Dial,
        Action::Offline,
        Action::Undrain,
    ];
    all.into_iter().find(|action| action.as_str() == verb)
}

async fn carry_out(shared: &Shared, command: Command) -> Written {
    let now_ms = clock::unix_millis();
    let has = match &command.scope {
        Scope::Region(name) => region::share(shared, name.as_str()),
        Scope::Server { pool, server } => server::share(shared, pool.as_str(), server),
    };
    let drafted = command
        .order
        .draft(command.scope.clone(), command.action, has, now_ms);
    let mut record = match drafted {
        Ok(record) => record,
        Err(error) => {
            return Written::error(
                StatusCode::BAD_REQUEST,
                &error.to_string(),
                "see docs/drain.md",
            );
        }
    };
    let known = shared.orders.book().get(&record.scope).cloned();
    settle_end(&mut record, known.as_ref(), now_ms);
    let check = match &record.scope {
        _ if record.action == Action::Undrain => Check::default(),
        Scope::Region(name) => region::check(shared, name.as_str(), &record, has),
        Scope::Server { pool, server } => server::check(shared, pool.as_str(), server),
    };
    if command.order.dry_run {
        record.version = known.as_ref().map_or(0, |known| known.version) + 1;
        return answer(dry(record, check));
    }
    let check = match unbroken(&record, check) {
        Ok(check) => check,
        Err(refused) => return refused,
    };
    let mut draft = Draft::from(record);
    draft.if_version = command.order.if_version;
    match shared.orders.submit(draft).await {
        Ok(receipt) => answer(accepted(shared, receipt, check)),
        Err(error) => state::refused(&error),
    }
}

/// A command that is repeated ends when its first time said.
fn settle_end(record: &mut Record, known: Option<&Record>, now_ms: u64) {
    let known = known.filter(|known| known.is_active(now_ms) && known.action == record.action);
    if let (Some(known), Some(at)) = (known.and_then(|k| k.expires_ms), record.expires_ms)
        && at.abs_diff(known) < SAME_END_MS
    {
        record.expires_ms = Some(known);
    }
}

fn dry(record: Record, check: Check) -> Answer {
    Answer {
        record,
        forecast: check.forecast,
        dry_run: true,
        unchanged: false,
        durable: false,
        applied: Vec::new(),
        missing: Vec::new(),
    }
}

fn accepted(shared: &Shared, receipt: Receipt, check: Check) -> Answer {
    let name = |applied: bool| {
        let peers = receipt
            .peers
            .iter()
            .filter(move |peer| peer.applied == applied);
        peers.map(|peer| peer.replica.clone())
    };
    let me = shared.plan.load().identity.replica.clone();
    Answer {
        applied: std::iter::once(me).chain(name(true)).collect(),
        missing: name(false).collect(),
        forecast: check.forecast,
        dry_run: false,
        unchanged: !receipt.changed,
        durable: receipt.durable,
        record: receipt.record,
    }
}

fn answer(answer: Answer) -> Written {
    let what = if answer.dry_run {
        "only asked".to_owned()
    } else {
        let all = answer.applied.len() + answer.missing.len();
        let durable = if answer.durable {
            "durable"
        } else {
            "not durable"
        };
        let version = answer.record.version;
        format!(
            "version {version}, {durable}, at {} of {all} replicas",
            answer.applied.len()
        )
    };
    Written {
        status: StatusCode::OK,
        body: serde_json::to_value(&answer).unwrap_or_default(),
        actor: String::new(),
        what,
    }
}

/// The check again, or the refusal for the rules in it that the order breaks and may not.
fn unbroken(record: &Record, check: Check) -> Result<Check, Written> {
    let broken = |refusal: &&Refusal| !record.may_break(refusal.rule);
    let broken: Vec<&Refusal> = check.refusals.iter().filter(broken).collect();
    if broken.is_empty() {
        return Ok(check);
    }
    let why: Vec<&str> = broken.iter().map(|refusal| refusal.why.as_str()).collect();
    let error = why.join("; ");
    let rules: Vec<&str> = broken.iter().map(|refusal| refusal.rule.as_str()).collect();
    let body = Refused {
        error: error.clone(),
        hint: format!(
            "to do it all the same, override {} by name",
            rules.join(", ")
        ),
        refusals: check.refusals,
        forecast: check.forecast,
        current: None,
    };
    Err(Written {
        status: StatusCode::CONFLICT,
        body: serde_json::to_value(&body).unwrap_or_default(),
        actor: String::new(),
        what: error,
    })
}

fn unknown(what: &str, known: &[String]) -> Written {
    let hint = if known.is_empty() {
        "there are none here: regions are steered at global replicas, servers at those of their region".to_owned()
    } else {
        format!("there are: {}", known.join(", "))
    };
    Written::error(StatusCode::NOT_FOUND, &format!("there is no {what}"), &hint)
}
