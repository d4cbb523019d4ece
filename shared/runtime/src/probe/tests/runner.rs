use super::*;
use lb_core::health::{CheckState, Verdict};
use lb_core::time::Instant as CoreInstant;
use std::collections::VecDeque;
use std::sync::Mutex;

const PASS: ProbeResult = ProbeResult::Pass {
    latency: Duration::from_millis(1),
};
const FAIL: ProbeResult = ProbeResult::fail(ProbeFailure::Refused);

/// Gives results in turn, each after a time, and remembers when it was asked.
#[derive(Default)]
struct Script {
    results: Mutex<VecDeque<(ProbeResult, Duration)>>,
    asked: Arc<Mutex<Vec<Duration>>>,
    start: Option<Instant>,
}

impl Script {
    fn new(results: &[(ProbeResult, u64)]) -> Self {
        Self {
            results: Mutex::new(
                results
                    .iter()
                    .map(|(r, ms)| (*r, Duration::from_millis(*ms)))
                    .collect(),
            ),
            asked: Arc::default(),
            start: Some(Instant::now()),
        }
    }
}

impl Probe for Script {
    async fn probe(&self) -> ProbeResult {
        self.asked
            .lock()
            .unwrap()
            .push(self.start.unwrap().elapsed());
        let next = self.results.lock().unwrap().pop_front();
        match next {
            Some((result, after)) => {
                tokio::time::sleep(after).await;
                result
            }
            None => std::future::pending().await,
        }
    }
}

fn clock() -> CoreInstant {
    CoreInstant::from_millis(7)
}

/// Runs a script until the last result is in. Returns the pauses between probes, the snapshots and the final state.
async fn play(results: &[(ProbeResult, u64)]) -> (Vec<Duration>, Vec<CheckSnapshot>, CheckState) {
    let script = Script::new(results);
    let asked = script.asked.clone();
    let snapshots = Mutex::new(Vec::new());
    let all = results.len();
    let done = tokio::sync::Notify::new();
    let state = run(
        script,
        CheckState::new(&HealthCheck::default()),
        clock,
        1,
        |snapshot| {
            let mut snapshots = snapshots.lock().unwrap();
            snapshots.push(snapshot);
            if snapshots.len() == all {
                done.notify_one();
            }
        },
        done.notified(),
    )
    .await;
    let asked = asked.lock().unwrap().clone();
    (asked, snapshots.into_inner().unwrap(), state)
}

#[tokio::test(start_paused = true)]
async fn the_first_probe_comes_at_once_and_settles_the_verdict() {
    let (asked, snapshots, state) = play(&[(PASS, 1)]).await;
    assert!(asked[0] <= Duration::from_millis(110), "{:?}", asked[0]);
    assert_eq!(snapshots[0].verdict, Verdict::Healthy);
    assert_eq!(
        snapshots[0].last.at,
        clock(),
        "the state keeps the given clock's time"
    );
    assert!(snapshots[0].transition.is_some());
    assert_eq!(state.verdict(), Verdict::Healthy);
}

#[tokio::test(start_paused = true)]
async fn contested_verdicts_are_probed_at_the_fast_interval() {
    let (asked, snapshots, state) =
        play(&[(PASS, 0), (PASS, 0), (FAIL, 0), (FAIL, 0), (FAIL, 0)]).await;
    let pauses: Vec<_> = asked
        .windows(2)
        .map(|w| (w[1] - w[0]).as_millis())
        .collect();
    for (pause, aim) in pauses.iter().zip([1000, 1000, 250, 250]) {
        assert!(
            (aim * 9 / 10 - 2..=aim * 11 / 10 + 2).contains(pause),
            "{pauses:?}"
        );
    }
    assert_eq!(state.verdict(), Verdict::Unhealthy);
    let changes: Vec<_> = snapshots
        .iter()
        .filter_map(|s| s.transition)
        .map(|t| t.to)
        .collect();
    assert_eq!(changes, [Verdict::Healthy, Verdict::Unhealthy]);
}

#[tokio::test(start_paused = true)]
async fn slow_probes_neither_overlap_nor_thin_out() {
    let (asked, ..) = play(&[(PASS, 900), (PASS, 3000), (PASS, 0)]).await;
    let pauses: Vec<_> = asked
        .windows(2)
        .map(|w| (w[1] - w[0]).as_millis())
        .collect();
    assert!(
        (900..=1102).contains(&pauses[0]),
        "counted from the start: {pauses:?}"
    );
    assert!(
        (3000..=3002).contains(&pauses[1]),
        "at once after an overlong one: {pauses:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_a_running_probe_and_returns_the_state() {
    let mut state = CheckState::new(&HealthCheck::default());
    state.on_probe(PASS, clock());
    let stop = tokio::time::sleep(Duration::from_secs(60));
    let state = run(Script::new(&[]), state, clock, 1, |_| {}, stop).await;
    assert_eq!(
        state.verdict(),
        Verdict::Healthy,
        "what was known is not lost"
    );
}
