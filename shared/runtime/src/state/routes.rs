//! Writes of the admin API that concern orders as such.
//!
//! `POST /api/v1/orders` takes a [`Draft`] as it is: the verbs for people, which check what an order would do before, end in the same
//! [`Orders::submit`]. `POST /api/v1/state` is how peers tell each other.

use super::{MergeError, Orders, SubmitError};
use crate::admin::{Write, Written};
use crate::peers::identify;
use http::StatusCode;
use lb_core::drain::Draft;
use lb_core::status::{Sheet, SheetAck};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Carries out a write; none when its path is not one of these.
pub(crate) async fn write(orders: &Arc<Orders>, write: &Write) -> Option<Written> {
    match write.path.as_str() {
        "/api/v1/orders" => Some(order(orders, write).await),
        "/api/v1/state" => Some(state(orders, write).await),
        _ => None,
    }
}

async fn order(orders: &Arc<Orders>, write: &Write) -> Written {
    let mut draft: Draft = match body(write) {
        Ok(draft) => draft,
        Err(bad) => return bad,
    };
    draft.if_version = write.if_match.or(draft.if_version);
    let (actor, what) = (draft.actor.clone(), told(&draft));
    match orders.submit(draft).await {
        Ok(receipt) => {
            let version = receipt.record.version;
            let durable = if receipt.durable {
                "durable"
            } else {
                "not durable"
            };
            let mut done = Written::ok(&receipt).by(&actor);
            let peers = (receipt.applied(), receipt.peers.len());
            done.what = format!(
                "{what}: version {version}, {durable}, peers {}/{}",
                peers.0, peers.1
            );
            done
        }
        Err(error) => {
            let mut refused = refused(&error).by(&actor);
            refused.what = format!("{what}: {error}");
            refused
        }
    }
}

async fn state(orders: &Arc<Orders>, write: &Write) -> Written {
    let sheet: Sheet = match body(write) {
        Ok(sheet) => sheet,
        Err(bad) => return bad,
    };
    let from = sheet.from.replica.clone();
    match orders.merge(&sheet) {
        Ok(taken) => {
            if taken > 0 {
                // In force already; whether it lasts is part of the answer.
                let _ = orders.save(None).await;
            }
            let ack = SheetAck {
                from: identify(&orders.identity, false),
                hash: orders.hash(),
                durable: orders.is_durable(),
                taken,
            };
            let mut done = Written::ok(&ack).by(&from);
            done.what = format!("{taken} orders taken");
            done
        }
        Err(error) => {
            let hint = match error {
                MergeError::Ahead(_) => "both clocks are compared with each write",
                MergeError::Foreign(_) => "only replicas of one tier and region share orders",
                MergeError::Format(_) => "replicas of both versions keep what they have until then",
                MergeError::Unfit(_) => "the sender has a fault",
            };
            Written::error(StatusCode::CONFLICT, &error.to_string(), hint).by(&from)
        }
    }
}

/// The answer to an order that is not taken.
pub(crate) fn refused(error: &SubmitError) -> Written {
    let (status, hint) = match error {
        SubmitError::Conflict { .. } => (
            StatusCode::PRECONDITION_FAILED,
            "what is in force now is in `current`",
        ),
        SubmitError::Unwritable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the order is not in force; mend this or order at another replica",
        ),
        SubmitError::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "correct the order"),
    };
    let mut refused = Written::error(status, &error.to_string(), hint);
    if let SubmitError::Conflict { current, .. } = error {
        let current = serde_json::to_value(current).unwrap_or_default();
        if let Some(fields) = refused.body.as_object_mut() {
            fields.insert("current".to_owned(), current);
        }
    }
    refused
}

fn body<T: DeserializeOwned>(write: &Write) -> Result<T, Written> {
    T::deserialize(&write.body).map_err(|error| {
        let text = format!("the body is not what {} takes: {error}", write.path);
        Written::error(StatusCode::BAD_REQUEST, &text, "see docs/operations.md")
    })
}

fn told(draft: &Draft) -> String {
    format!("{} {}", draft.action.as_str(), draft.scope)
}

// === impl Written ===

impl Written {
    fn ok(body: &impl Serialize) -> Self {
        Self {
            status: StatusCode::OK,
            body: serde_json::to_value(body).unwrap_or_default(),
            actor: String::new(),
            what: String::new(),
        }
    }
}
