//! Gives an order to the first replica that takes it.
//!
//! # Choice
//! One replica is enough, as it passes the order on. The next one is asked when a replica can't be reached, can't write it down, or is of
//! the other tier. A replica that refused has judged the order: asking another until one agrees would make the rules worthless.
//!
//! # Limits
//! A replica that took the order and died before its answer arrived is taken for one that can't be reached. The order is then given a
//! second time, which changes nothing, as there is one order for each region or server; only `--if-version` can meet its own order.

use super::plan::Plan;
use crate::client::{Client, Post, refused};
use crate::failure::{Exit, Failure};
use crate::token::Token;
use lb_core::drain::{Answer, Refused};
use lb_core::status::ReplicaIdentity;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub(crate) enum Reply {
    /// It was taken.
    Taken(Box<Taken>),
    /// It was refused, for a reason that a person can do something about.
    Refused(Box<Turned>),
}

/// An order that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The replica's admin address.
    pub(crate) admin: String,
    /// Its answer, untouched.
    pub(crate) value: Value,
    /// Its answer.
    pub(crate) answer: Answer,
}

/// An order that was refused.
#[derive(Debug)]
pub(crate) struct Turned {
    /// The replica's admin address.
    pub(crate) admin: String,
    /// Its answer, untouched.
    pub(crate) value: Value,
    /// Its answer.
    pub(crate) refused: Refused,
}

/// What to do after one replica's answer.
enum Step {
    Done(Reply),
    /// The order may be given to the next one.
    Next(Failure),
    Stop(Failure),
}

/// Gives the order of `plan` to the first replica that takes it; tells of those that can't.
pub(crate) fn send(
    client: &Client,
    plan: &Plan,
    token: Option<Token>,
    quiet: bool,
) -> Result<Reply, Failure> {
    let body = serde_json::to_string(&plan.order)
        .map_err(|error| Failure::new(Exit::Failed, format!("can't write JSON: {error}")))?;
    let post = Post { body, token };
    let mut failures: Vec<Failure> = Vec::new();
    let last = client.admins().len().saturating_sub(1);
    for (at, admin) in client.admins().iter().enumerate() {
        match give(client, admin, plan, &post) {
            Step::Done(reply) => return Ok(reply),
            Step::Stop(failure) => return Err(failure),
            Step::Next(failure) => {
                if at < last && !quiet {
                    eprintln!("lbctl: {}; asking the next replica", failure.message);
                }
                failures.push(failure);
            }
        }
    }
    Err(none_took_it(failures))
}

/// The exit code of the failure that leaves most open: an order that may have been taken, then one that could not be written.
fn none_took_it(mut failures: Vec<Failure>) -> Failure {
    let worst = [Exit::Partial, Exit::Failed]
        .into_iter()
        .find_map(|exit| failures.iter().position(|failure| failure.exit == exit));
    let all = failures.len();
    let worst = worst.unwrap_or(all.saturating_sub(1));
    if worst >= all {
        return Failure::new(Exit::Usage, "no replica is named").hint("--admin names them");
    }
    let mut failure = failures.swap_remove(worst);
    if failure.exit == Exit::Partial {
        failure.hint = Some(
            "it may have taken the order: `lbctl region drains` shows it; giving it again does no harm"
                .to_owned(),
        );
    }
    if all > 1 {
        failure.message = format!("none of {all} replicas took the order: {}", failure.message);
    }
    failure
}

fn give(client: &Client, admin: &str, plan: &Plan, post: &Post) -> Step {
    let path = plan.path();
    let (status, body) = match client.post(admin, &path, post) {
        Ok(answer) => answer,
        Err(failure) => return Step::Next(failure),
    };
    let value = serde_json::from_str::<Value>(&body).ok();
    let failure = |exit| Failure {
        exit,
        ..refused(admin, &path, status, value.as_ref())
    };
    match (status, value.clone()) {
        (200, Some(value)) => match read::<Answer>(admin, &value) {
            Ok(answer) => Step::Done(Reply::Taken(Box::new(Taken {
                admin: admin.to_owned(),
                value,
                answer,
            }))),
            Err(failure) => Step::Stop(failure),
        },
        (409 | 412, Some(value)) => match read::<Refused>(admin, &value) {
            Ok(refused) => Step::Done(Reply::Refused(Box::new(Turned {
                admin: admin.to_owned(),
                value,
                refused,
            }))),
            Err(_unreadable) => Step::Stop(failure(Exit::Refused)),
        },
        (400 | 422, _) => Step::Stop(failure(Exit::Usage)),
        (401 | 403, _) => Step::Stop(or_hint(
            failure(Exit::Failed),
            "--token-file or LB_TOKEN_FILE names the file with the token",
        )),
        (404, _) if is_of_other_tier(client, admin, plan) => {
            Step::Next(failure(Exit::Failed).hint("--admin names replicas of the other tier"))
        }
        (503, _) => Step::Next(failure(Exit::Failed)),
        _ => Step::Stop(or_hint(
            failure(Exit::Failed),
            "is this the admin address of a replica whose version takes orders?",
        )),
    }
}

fn read<T: DeserializeOwned>(admin: &str, value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|error| {
        let message = format!("{admin} answered what can't be read: {error}");
        Failure::new(Exit::Failed, message).hint("are replica and lbctl of versions that fit?")
    })
}

fn or_hint(failure: Failure, hint: &str) -> Failure {
    if failure.hint.is_some() {
        return failure;
    }
    failure.hint(hint)
}

fn is_of_other_tier(client: &Client, admin: &str, plan: &Plan) -> bool {
    let Ok((200, body)) = client.get(admin, "/api/v1/replica") else {
        return false;
    };
    serde_json::from_str::<ReplicaIdentity>(&body).is_ok_and(|is| is.tier != plan.tier())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_taken_is_told_first() {
        let exit = |exits: &[Exit]| {
            let failures = exits.iter().map(|exit| Failure::new(*exit, "x")).collect();
            none_took_it(failures).exit
        };
        use Exit::{Failed, Partial, Unreachable, Usage};
        assert_eq!(exit(&[Unreachable, Unreachable]), Unreachable);
        assert_eq!(exit(&[Failed, Unreachable]), Failed);
        assert_eq!(exit(&[Failed, Partial, Unreachable]), Partial);
        assert_eq!(exit(&[]), Usage);
    }
}
