use super::*;
use crate::state::store::{Look, WriteError};
use crate::state::tests::{draft, identity};
use lb_core::drain::{Action, Record};
use lb_core::status::PeerAck;
use lb_core::time::Instant;

/// A store that knows something, or doesn't answer; and how far its clock is ahead, in milliseconds.
#[derive(Debug)]
struct Told(Option<Vec<Record>>, i64);

#[async_trait::async_trait]
impl StateStore for Told {
    fn kind(&self) -> StoreKind {
        StoreKind::Embedded
    }

    fn is_durable(&self) -> bool {
        false
    }

    async fn load(&self, orders: &Orders) -> Result<bool, String> {
        let Some(records) = &self.0 else {
            return std::future::pending().await;
        };
        orders.adopt(records.iter().cloned(), Source::Peer);
        Ok(true)
    }

    async fn write(&self, _: &Record, _: u64) -> Result<(), WriteError> {
        Ok(())
    }

    async fn spread(&self, _: &Orders, _: &Record) -> Vec<PeerAck> {
        Vec::new()
    }

    async fn watch(&self, _: &Orders) {}

    async fn forget(&self, _: &[Record]) {}

    fn look(&self, _: Instant) -> Look {
        Look {
            skew_ms: self.0.as_ref().map(|_| self.1),
            ..Look::default()
        }
    }
}

fn orders(path: &std::path::Path, told: Option<Vec<Record>>) -> Arc<Orders> {
    skewed(path, told, 0)
}

/// The same with a store whose clock differs.
fn skewed(path: &std::path::Path, told: Option<Vec<Record>>, ahead_ms: i64) -> Arc<Orders> {
    let kept = Kept::new(Some(Keeper::new(path.to_owned())));
    let store = Arc::new(Told(told, ahead_ms));
    Arc::new(Orders::new(identity("g1"), store, kept))
}

fn regions(orders: &Orders) -> Vec<String> {
    let book = orders.book();
    book.iter().map(|record| record.scope.to_string()).collect()
}

/// A directory with an order on `eu`, last written so many milliseconds ago.
async fn directory(ago_ms: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let first = orders(dir.path(), Some(Vec::new()));
    first.begin().await;
    first.submit(draft("eu", Action::Drain)).await.unwrap();
    let snapshot = first.sheet().snapshot;
    drop(first);
    let keeper = Keeper::new(dir.path().to_owned());
    keeper
        .save(&snapshot, clock::unix_millis() - ago_ms)
        .unwrap();
    dir
}

async fn us() -> Vec<Record> {
    let other = Orders::in_memory(identity("g2"));
    other.submit(draft("us", Action::Drain)).await.unwrap();
    other.sheet().snapshot.records
}

#[tokio::test]
async fn at_the_start_the_file_and_the_others_are_known() {
    let dir = directory(1_000).await;
    let both = orders(dir.path(), Some(us().await));
    both.begin().await;
    assert_eq!(regions(&both), ["region/eu", "region/us"]);
    assert!(both.status().durable, "{:?}", both.status());
}

#[tokio::test(start_paused = true)]
async fn others_that_do_not_answer_hold_nobody_up() {
    let dir = directory(1_000).await;
    let alone = orders(dir.path(), None);
    let begun = tokio::time::Instant::now();
    alone.begin().await;
    assert!(begun.elapsed() < START * 2, "{:?}", begun.elapsed());
    assert_eq!(regions(&alone), ["region/eu"]);
}

#[tokio::test]
async fn who_was_away_for_a_day_brings_nothing_back_that_others_ended() {
    let dir = directory(FORGET_MS + 1_000).await;
    let late = orders(dir.path(), Some(us().await));
    late.begin().await;
    assert_eq!(regions(&late), ["region/us"]);
    drop(late);
    let dir = directory(FORGET_MS + 1_000).await;
    let alone = orders(dir.path(), Some(Vec::new()));
    alone.begin().await;
    assert!(
        regions(&alone).is_empty(),
        "somebody answered and knows of nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_file_is_better_than_nothing() {
    let dir = directory(FORGET_MS + 1_000).await;
    let alone = orders(dir.path(), None);
    alone.begin().await;
    assert_eq!(regions(&alone), ["region/eu"]);
}

#[tokio::test]
async fn what_all_have_forgotten_is_not_taken_back() {
    let orders = Orders::in_memory(identity("g1"));
    let mut old = us().await;
    old[0].action = Action::Undrain;
    old[0].updated.wall_ms -= FORGET_MS + 1;
    let (taken, _) = orders.adopt(old.into_iter(), Source::Peer);
    assert_eq!(taken, 0);
}

/// A directory with an order on `eu` that ended more than a day ago, and whose writer lived `alive_ms` ago.
async fn ended(alive_ms: u64) -> tempfile::TempDir {
    let dir = directory(1_000).await;
    let keeper = Keeper::new(dir.path().to_owned());
    let mut snapshot = keeper.load().content.unwrap().snapshot;
    let now = clock::unix_millis();
    snapshot.records[0].expires_ms = Some(now - FORGET_MS - 1_000);
    keeper.save(&snapshot, now - alive_ms).unwrap();
    dir
}

async fn kept(alive_ms: u64, told: Option<Vec<Record>>, ahead_ms: i64) -> Vec<String> {
    let dir = ended(alive_ms).await;
    let first = skewed(dir.path(), told.clone(), ahead_ms);
    first.begin().await;
    first.forget();
    first.submit(draft("us", Action::Drain)).await.unwrap();
    let is_unsure = alive_ms >= FORGET_MS && told.is_none();
    assert_eq!(first.doubts(clock::now()).is_empty(), !is_unsure);
    drop(first);
    let content = Keeper::new(dir.path().to_owned()).load().content.unwrap();
    let scopes = content.snapshot.records.iter();
    scopes.map(|record| record.scope.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumped_does_away_with_nothing_unless_another_agrees() {
    let both = ["region/eu", "region/us"];
    assert_eq!(kept(FORGET_MS, None, 0).await, both);
    assert_eq!(kept(1_000, None, 0).await, ["region/us"], "the control");
    assert_eq!(kept(1_000, Some(Vec::new()), 0).await, ["region/us"]);
    // Ahead or behind: who knows which of both is right.
    for skew in [3_600_000, -3_600_000] {
        assert_eq!(kept(1_000, Some(Vec::new()), skew).await, both, "{skew}");
    }
    let told = kept(FORGET_MS, Some(Vec::new()), 0).await;
    assert_eq!(told, ["region/us"], "it was off, and the others know");
}

#[tokio::test]
async fn what_a_successor_took_before_it_died_is_known_to_who_serves_again() {
    let dir = directory(1_000).await;
    let old = orders(dir.path(), Some(Vec::new()));
    old.begin().await;
    old.kept.leave().await;
    let new = orders(dir.path(), Some(Vec::new()));
    new.begin().await;
    new.submit(draft("us", Action::Drain)).await.unwrap();
    drop(new);
    assert_eq!(regions(&old), ["region/eu"]);
    old.kept.resume().await;
    old.catch_up().await;
    assert_eq!(regions(&old), ["region/eu", "region/us"]);
}
