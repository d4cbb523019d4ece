//! Waiting until every process serves.

use super::children::{Fleet, log_tail};
use super::topology::{Process, Role};
use crate::client::Client;
use crate::failure::{Exit, Failure};
use std::time::Duration;

/// Time for one question.
const ASK: Duration = Duration::from_secs(1);
/// Time between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until every process is ready. Fails when one ends, or when `deadline` has passed.
pub(super) async fn wait(fleet: &mut Fleet, deadline: Duration) -> Result<(), Failure> {
    let waiting = fleet.topology().processes.clone();
    tokio::select! {
        ready = tokio::time::timeout(deadline, all(waiting.clone())) => match ready {
            Ok(()) => Ok(()),
            Err(_late) => Err(late(waiting, deadline).await),
        },
        gone = fleet.next_gone() => {
            eprint!("the end of {}:\n{}", gone.log.display(), gone.log_tail());
            let message = format!("{} ended before it was ready: {}", gone.name, gone.how);
            Err(Failure::new(Exit::Failed, message))
        }
    }
}

async fn all(mut waiting: Vec<Process>) {
    while !waiting.is_empty() {
        waiting = not_ready(waiting).await;
        if !waiting.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn late(waiting: Vec<Process>, deadline: Duration) -> Failure {
    let waiting = not_ready(waiting).await;
    let names: Vec<_> = waiting
        .iter()
        .map(|process| process.name.as_str())
        .collect();
    if let Some(first) = waiting.first() {
        eprint!(
            "the end of {}:\n{}",
            first.log.display(),
            log_tail(&first.log)
        );
    }
    let message = format!("not ready within {deadline:?}: {}", names.join(", "));
    Failure::new(Exit::Partial, message).hint("--ready-timeout gives them longer")
}

/// Those of `waiting` that are not ready.
async fn not_ready(waiting: Vec<Process>) -> Vec<Process> {
    let mut questions = tokio::task::JoinSet::new();
    for process in waiting {
        questions.spawn_blocking(move || (!is_ready(&process)).then_some(process));
    }
    let mut left: Vec<_> = questions.join_all().await.into_iter().flatten().collect();
    left.sort_by_key(|process| process.address);
    left
}

fn is_ready(process: &Process) -> bool {
    let (address, path) = match (process.role, process.admin) {
        (Role::Server, _) | (_, None) => (process.address, "/healthz"),
        (_, Some(admin)) => (admin, "/readyz"),
    };
    Client::of(Vec::new(), ASK)
        .get(&address.to_string(), path)
        .is_ok_and(|(status, _)| status == 200)
}
