use super::format::parse;
use super::*;
use crate::state::Orders;
use crate::state::tests::{draft, identity};
use lb_core::drain::Action;

async fn snapshot(regions: &[&str]) -> Snapshot {
    let orders = Orders::in_memory(identity("g1"));
    for region in regions {
        orders.submit(draft(region, Action::Drain)).await.unwrap();
    }
    orders.sheet().snapshot
}

fn keeper() -> (tempfile::TempDir, Keeper) {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(dir.path().join("state"));
    (dir, keeper)
}

#[tokio::test]
async fn what_was_written_is_read_and_the_one_before_is_kept() {
    let (_dir, keeper) = keeper();
    assert!(keeper.load().content.is_none());
    let (one, two) = (snapshot(&["eu"]).await, snapshot(&["eu", "us"]).await);
    keeper.save(&one, 1).unwrap();
    keeper.save(&two, 2).unwrap();
    let found = keeper.load();
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    let content = found.content.unwrap();
    assert_eq!((content.alive_ms, content.snapshot), (2, two));
    std::fs::remove_file(keeper.path()).unwrap();
    let found = keeper.load();
    assert_eq!(found.content.unwrap().snapshot, one);
    assert!(found.faults[0].contains("as the last one is missing"));
}

#[tokio::test]
async fn a_torn_or_changed_file_is_noticed_at_every_byte() {
    let snapshot = snapshot(&["eu"]).await;
    let whole = format::render(&snapshot, 1).into_bytes();
    assert_eq!(parse(&whole).unwrap().snapshot, snapshot);
    for length in 0..whole.len() {
        assert!(parse(&whole[..length]).is_err(), "cut after {length} bytes");
        for bit in [1, 0x20] {
            let mut changed = whole.clone();
            changed[length] ^= bit;
            let same = parse(&changed).is_ok_and(|content| content.snapshot == snapshot);
            assert!(parse(&changed).is_err() || same, "byte {length} changed");
        }
    }
    let mut longer = whole.clone();
    longer.push(b'x');
    assert!(parse(&longer).is_err());
}

#[tokio::test]
async fn a_damaged_file_is_put_aside_and_the_previous_copy_used() {
    let (_dir, keeper) = keeper();
    let one = snapshot(&["eu"]).await;
    keeper.save(&one, 1).unwrap();
    keeper.save(&snapshot(&["us"]).await, 2).unwrap();
    std::fs::write(keeper.path(), "garbage\nmore").unwrap();
    let found = keeper.load();
    assert_eq!(found.content.unwrap().snapshot, one);
    assert!(found.faults[0].contains("is damaged"), "{:?}", found.faults);
    let aside = std::fs::read_to_string(keeper.beside("damaged")).unwrap();
    assert_eq!(aside, "garbage\nmore");
    std::fs::write(keeper.beside("1"), "").unwrap();
    let found = keeper.load();
    assert!(found.content.is_none() && found.faults[0].contains("damaged too"));
}

#[tokio::test]
async fn a_file_of_a_later_version_is_left_alone() {
    let (_dir, keeper) = keeper();
    let mut later = snapshot(&["eu"]).await;
    later.format = Snapshot::FORMAT + 1;
    keeper.save(&later, 1).unwrap();
    let found = keeper.load();
    assert!(found.content.is_none() && found.is_later);
    assert!(found.faults[0].contains("format 2"), "{:?}", found.faults);
    assert!(keeper.path().exists());
}

#[tokio::test]
async fn two_processes_do_not_write_over_each_other() {
    let (dir, keeper) = keeper();
    let snapshot = snapshot(&["eu"]).await;
    keeper.save(&snapshot, 1).unwrap();
    let other = Keeper::new(dir.path().join("state"));
    let error = other.save(&snapshot, 1).unwrap_err().to_string();
    let pid = std::process::id().to_string();
    assert!(
        error.contains(&pid) && error.contains("of its own"),
        "{error}"
    );
    assert!(other.load().content.is_some(), "but both can read");
    keeper.leave();
    other.save(&snapshot, 2).unwrap();
    assert!(keeper.save(&snapshot, 3).is_err(), "it has let go");
    keeper.resume();
    assert!(keeper.save(&snapshot, 4).is_err(), "the successor has it");
    drop(other);
    keeper.save(&snapshot, 5).unwrap();
}

#[tokio::test]
async fn a_directory_that_can_not_be_is_named_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let keeper = Keeper::new(file.join("state"));
    let error = keeper
        .save(&snapshot(&[]).await, 1)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("file/state") && error.contains("create the directory"),
        "{error}"
    );
}
