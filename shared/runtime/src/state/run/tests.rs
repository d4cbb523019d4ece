use super::*;
use crate::state::store::{Look, WriteError};
use crate::state::tests::{draft, identity};
use lb_core::drain::{Action, Record};
use lb_core::status::PeerAck;
use lb_core::time::Instant;

/// A store that knows something, or doesn't answer.
#[derive(Debug)]
struct Told(Option<Vec<Record>>);

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
        Look::default()
    }
}

fn orders(path: &std::path::Path, told: Option<Vec<Record>>) -> Arc<Orders> {
    let kept = Kept::new(Some(Keeper::new(path.to_owned())));
    Arc::new(Orders::new(identity("g1"), Arc::new(Told(told)), kept))
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
