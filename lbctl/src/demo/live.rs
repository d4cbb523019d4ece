//! While the demo runs: who died, and where the requests go.

use super::children::{Fleet, Gone};
use super::topology::Role;
use crate::client::{Answer, Client};
use crate::words;
use lb_core::status::{RegionState, Status};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

const EVERY: Duration = Duration::from_secs(2);
const ASK: Duration = Duration::from_secs(1);

/// Requests and failures of each region, by the global replica that counted them.
#[derive(Debug, Default)]
struct Counts(BTreeMap<(String, String), (u64, u64)>);

/// What one region did since the last look.
#[derive(Debug, Default, PartialEq)]
struct Change {
    state: RegionState,
    requests: u64,
    failures: u64,
}

/// Tells of deaths at once and of the traffic every two seconds. Never ends.
pub(super) async fn watch(fleet: &mut Fleet, quiet: bool) {
    let admins = fleet
        .topology()
        .of(Role::GlobalLb, None)
        .filter_map(|process| process.admin)
        .map(|admin| admin.to_string())
        .collect();
    tokio::select! {
        () = deaths(fleet) => {}
        () = traffic(Client::of(admins, ASK)), if !quiet => {}
    }
}

async fn deaths(fleet: &mut Fleet) {
    loop {
        let Gone { name, how, .. } = fleet.next_gone().await;
        say(&format!("✖ {name} is gone: {how}"), true);
    }
}

async fn traffic(client: Client) {
    let client = Arc::new(client);
    let mut counts = Counts::default();
    let mut last = Instant::now();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    counts.update(&ask(&client).await);
    loop {
        ticks.tick().await;
        let changes = counts.update(&ask(&client).await);
        let now = Instant::now();
        say(&line(&changes, now.duration_since(last)), false);
        last = now;
    }
}

async fn ask(client: &Arc<Client>) -> Vec<(String, Status)> {
    let client = Arc::clone(client);
    let asked = tokio::task::spawn_blocking(move || client.ask_all("/api/v1/status"));
    asked.await.map(statuses).unwrap_or_default()
}

fn statuses(answers: Vec<Answer>) -> Vec<(String, Status)> {
    answers
        .into_iter()
        .filter_map(|answer| {
            let status = Status::deserialize(answer.result.ok()?).ok()?;
            Some((answer.admin, status))
        })
        .collect()
}

fn line(changes: &[(String, Change)], elapsed: Duration) -> String {
    let rate = |count: u64| count as f64 / elapsed.as_secs_f64().max(0.001);
    if changes.is_empty() {
        return "no global replica answers".to_owned();
    }
    let regions: Vec<_> = changes
        .iter()
        .map(|(name, change)| {
            let state = words::region_text(change.state);
            format!("{name} {state} {:.0}/s", rate(change.requests))
        })
        .collect();
    let failures = changes.iter().map(|(_, change)| change.failures).sum();
    format!(
        "{}   failed tries {:.0}/s",
        regions.join("   "),
        rate(failures)
    )
}

/// Writes to standard error; on a terminal the next line takes the place of one that does not `stay`.
fn say(text: &str, stay: bool) {
    match (std::io::stderr().is_terminal(), stay) {
        (true, true) => eprintln!("\r\x1b[2K{text}"),
        (true, false) => eprint!("\r\x1b[2K{text}"),
        (false, _) => eprintln!("{text}"),
    }
}

// === impl Counts ===

impl Counts {
    /// Takes the new counts and tells what changed, in the order of the first answer. A counter that fell
    /// belongs to a replica that started anew.
    fn update(&mut self, answers: &[(String, Status)]) -> Vec<(String, Change)> {
        let mut changes: Vec<(String, Change)> = Vec::new();
        for (admin, status) in answers {
            for region in &status.regions {
                let key = (admin.clone(), region.name.clone());
                let now = (region.requests_total, region.failures_total);
                let before = self.0.insert(key, now).unwrap_or(now);
                let seen = changes.iter().position(|(name, _)| *name == region.name);
                let index = seen.unwrap_or(changes.len());
                if seen.is_none() {
                    let state = region.state;
                    changes.push((
                        region.name.clone(),
                        Change {
                            state,
                            ..Change::default()
                        },
                    ));
                }
                if let Some((_, change)) = changes.get_mut(index) {
                    change.requests += now.0.saturating_sub(before.0);
                    change.failures += now.1.saturating_sub(before.1);
                }
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::status::RegionStatus;

    fn status(requests: u64) -> Status {
        let region = RegionStatus {
            name: "eu-west".to_owned(),
            state: RegionState::Healthy,
            requests_total: requests,
            ..RegionStatus::default()
        };
        Status {
            regions: vec![region],
            ..Status::default()
        }
    }

    #[test]
    fn rates_are_sums_over_the_replicas_that_answer() {
        let mut counts = Counts::default();
        let at = |a, b| vec![("a".to_owned(), status(a)), ("b".to_owned(), status(b))];
        assert_eq!(counts.update(&at(10, 20))[0].1.requests, 0);
        let changes = counts.update(&at(30, 25));
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].1.requests, 25);
        assert_eq!(
            line(&changes, Duration::from_secs(5)),
            "eu-west ● healthy 5/s   failed tries 0/s"
        );
        // b is gone, and a started anew.
        assert_eq!(
            counts.update(&[("a".to_owned(), status(4))])[0].1.requests,
            0
        );
        assert_eq!(counts.update(&at(14, 26))[0].1.requests, 11);
    }
}
