//! Both sides of the hand-over over real unix sockets, in one process.

use super::frame::{BATCH, Link, LinkError};
use super::message::{Message, SocketHead, SocketKind};
use super::notify::Supervisor;
use super::*;
use crate::lifecycle::{Lifecycle, Stage};
use crate::plan::Identity;
use lb_core::config::model::Listener;
use lb_core::name::{RegionName, ReplicaName};
use lb_core::status::{HandoverPhase, Tier};
use prometheus::{IntCounterVec, Opts};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

/// A predecessor with so many sockets.
struct Old {
    _root: tempfile::TempDir,
    directory: RunDirectory,
    estate: Arc<Estate>,
    offer: Offer,
    sockets: Vec<Arc<tokio::net::TcpListener>>,
}

fn counter() -> IntCounterVec {
    IntCounterVec::new(Opts::new("upgrades", "x"), &["result"]).unwrap()
}

fn bound() -> TcpListener {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn old(count: usize) -> Old {
    let root = tempfile::tempdir().unwrap();
    let directory = RunDirectory::open(&root.path().join("run")).unwrap();
    let mut sockets = Vec::new();
    let mut place = |name: &str| {
        let socket = Arc::new(tokio::net::TcpListener::from_std(bound()).unwrap());
        let slot = Slot::new(name, socket.local_addr().unwrap(), Gate::Open);
        slot.hold(&socket);
        sockets.push(socket);
        slot
    };
    let slots = (0..count).map(|at| (at, place("web"))).collect();
    let admin = place("admin");
    let lifecycle = Lifecycle::default();
    lifecycle.advance(Stage::Serving);
    let journal = Journal::new(Some(directory.path()), counter());
    let region = RegionName::new("eu").unwrap();
    let name = ReplicaName::new("r1").unwrap();
    let identity = Identity::new(crate::plan::Tier::Regional, &name, Some(&region), 1).unwrap();
    let orders = crate::state::Orders::in_memory(Arc::new(identity));
    let estate = Estate::new(
        Tier::Regional,
        slots,
        admin,
        lifecycle,
        orders,
        journal,
        PROBATION,
    );
    let estate = Arc::new(estate);
    let draft = Draft::new(directory.clone(), None).unwrap();
    let offer = Offer::publish(draft, estate.clone()).unwrap();
    Old {
        _root: root,
        directory,
        estate,
        offer,
        sockets,
    }
}

fn hello(limit: Duration) -> Introduction {
    Introduction::new(Tier::Regional, "new", "hash", limit)
}

async fn link(directory: &RunDirectory) -> Link {
    Link::new(UnixStream::connect(directory.upgrade()).await.unwrap())
}

#[tokio::test]
async fn hundreds_of_sockets_cross_and_are_the_same_ones() {
    const COUNT: usize = 3 * BATCH + 7;
    let old = old(COUNT);
    let attend = old.offer.attend();
    let new = async {
        let (mut succession, mut inheritance) =
            Succession::claim(&old.directory, hello(Duration::from_secs(9)))
                .await
                .unwrap();
        let text = r#"{"name":"web","address":"127.0.0.1:0"}"#;
        let listener: Listener = serde_json::from_str(text).unwrap();
        let row = inheritance.row(&listener);
        assert_eq!(row.len(), COUNT);
        for (mine, theirs) in row.iter().zip(&old.sockets) {
            let address = theirs.local_addr().unwrap();
            assert_eq!(mine.local_addr().unwrap(), address, "in their order");
        }
        assert!(inheritance.admin("127.0.0.1:0".parse().unwrap()).is_some());
        let taken = inheritance.finish();
        assert_eq!(taken.len(), COUNT + 1);
        let journal = Journal::new(None, counter());
        succession
            .get_ready(taken, &journal, Vec::new)
            .await
            .unwrap();
        let slots = old.estate.slots.iter().map(|(_, slot)| slot);
        for slot in slots.chain([&old.estate.admin]) {
            let mut gate = slot.watch();
            tokio::time::timeout(Duration::from_secs(1), gate.left())
                .await
                .expect("shut before the commit is said");
        }
        succession.link.send(&Message::Took).await.unwrap();
        succession
    };
    let (committed, _succession) = tokio::join!(attend, new);
    assert_eq!(committed.taken.len(), COUNT + 1);
    assert_eq!(committed.pid, std::process::id());
}

#[tokio::test]
async fn a_successor_that_leaves_before_it_serves_changes_nothing() {
    let old = old(2);
    let attempts = async {
        // It closes at once, after its hello, with the sockets, and after the commit.
        drop(link(&old.directory).await);
        while old.estate.journal.read().last.is_none() {
            tokio::task::yield_now().await;
        }
        for step in 0..3 {
            let limit = Duration::from_secs(9);
            let claimed = Succession::claim(&old.directory, hello(limit)).await;
            let (mut succession, inheritance) = claimed.unwrap();
            if step > 0 {
                let ready = Message::Ready {
                    taken: vec![0, 1, 2],
                };
                succession.link.send(&ready).await.unwrap();
            }
            if step > 1 {
                let commit = succession.link.receive().await.unwrap();
                assert!(matches!(
                    commit,
                    Message::Commit {
                        orders: Some(_),
                        ..
                    }
                ));
            }
            drop((succession, inheritance));
            while old.estate.journal.read().phase != HandoverPhase::None {
                tokio::task::yield_now().await;
            }
        }
        for (_, slot) in &old.estate.slots {
            assert!(slot.watch().opened().await, "it accepts");
        }
        let told = old.estate.journal.read();
        assert_eq!(told.attempts, 4);
        assert!(!told.last.unwrap().ok);
    };
    tokio::select! {
        _ = old.offer.attend() => panic!("there is no successor"),
        () = attempts => {}
    }
}

#[tokio::test]
async fn who_may_not_take_over_is_told_why() {
    let old = old(1);
    let limit = Duration::from_secs(9);
    let refused = async |change: &dyn Fn(&mut Introduction)| {
        let mut hello = hello(limit);
        change(&mut hello);
        let error = Succession::claim(&old.directory, hello).await.unwrap_err();
        error.to_string()
    };
    let attempts = async {
        let why = refused(&|hello| hello.protocol = 7).await;
        assert!(why.contains("version 7"), "{why}");
        let why = refused(&|hello| hello.tier = Tier::Global).await;
        assert!(why.contains("another tier"), "{why}");
        let first = Succession::claim(&old.directory, hello(limit)).await;
        let why = refused(&|_| {}).await;
        assert!(why.contains("another upgrade is under way"), "{why}");
        drop(first);
        while old.estate.journal.read().phase != HandoverPhase::None {
            tokio::task::yield_now().await;
        }
        old.estate
            .probation
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let why = refused(&|_| {}).await;
        assert!(why.contains("moments ago"), "{why}");
        old.estate.lifecycle.advance(Stage::Leaving);
        let why = refused(&|_| {}).await;
        assert!(why.contains("is leaving"), "{why}");
    };
    tokio::select! {
        _ = old.offer.attend() => panic!("there is no successor"),
        () = attempts => {}
    }
}

#[tokio::test]
async fn a_successor_that_takes_too_long_is_given_up() {
    let old = old(1);
    let attempt = async {
        let limit = Duration::from_millis(50);
        let claimed = Succession::claim(&old.directory, hello(limit)).await;
        let (mut succession, _) = claimed.unwrap();
        let journal = Journal::new(None, counter());
        let cold = || vec!["probes".to_owned()];
        let error = succession.get_ready(Vec::new(), &journal, cold).await;
        let error = error.unwrap_err().to_string();
        // Whoever looks first.
        assert!(
            error.contains("probes") || error.contains("did not become ready"),
            "{error}"
        );
    };
    tokio::select! {
        _ = old.offer.attend() => panic!("there is no successor"),
        () = attempt => {}
    }
}

#[tokio::test]
async fn a_frame_may_come_in_pieces_and_nonsense_ends_it() {
    let (mut far, near) = UnixStream::pair().unwrap();
    let mut link = Link::new(near);
    let text = br#"{"say":"commit","added":"by a later version"}"#;
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    let bytes = [length.as_slice(), text, &length[..2]].concat();
    let feed = async {
        for byte in bytes {
            far.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        far
    };
    let (message, mut far) = tokio::join!(link.receive(), feed);
    assert_eq!(
        message.unwrap(),
        Message::Commit {
            orders: None,
            beats: false,
            probation_ms: None,
        }
    );
    far.write_all(&[&length[2..], b"{\"say\":\"hop\"} "].concat())
        .await
        .unwrap();
    far.write_all(&[b' '; 64]).await.unwrap();
    let error = link.receive().await.unwrap_err();
    assert!(matches!(error, LinkError::Nonsense(_)), "{error}");

    let (mut far, near) = UnixStream::pair().unwrap();
    far.write_all(&[0xff; 8]).await.unwrap();
    let error = Link::new(near).receive().await.unwrap_err();
    assert!(
        matches!(error, LinkError::Nonsense(_)),
        "its length: {error}"
    );

    let (far, near) = UnixStream::pair().unwrap();
    drop(far);
    let error = Link::new(near).receive().await.unwrap_err();
    assert!(matches!(error, LinkError::Closed), "{error}");
    let (_far, near) = UnixStream::pair().unwrap();
    let limit = Duration::from_millis(5);
    let error = Link::new(near).receive_within(limit).await.unwrap_err();
    assert!(matches!(error, LinkError::Silent(_)), "{error}");
}

#[tokio::test]
async fn a_socket_that_is_not_what_it_is_said_to_be_is_refused() {
    let (near, far) = UnixStream::pair().unwrap();
    let (mut near, mut far) = (Link::new(near), Link::new(far));
    let socket = bound();
    let address = socket.local_addr().unwrap();
    let head = |address| SocketHead {
        id: 0,
        kind: SocketKind::Listener,
        name: "web".to_owned(),
        address,
        column: 0,
    };
    let none = Message::Sockets {
        sockets: vec![head(address)],
        more: false,
    };
    near.send(&none).await.unwrap();
    far.receive().await.unwrap();
    assert!(far.take_descriptors(1).is_err(), "none came");
    near.send_with(&none, &[socket.as_fd()]).await.unwrap();
    far.receive().await.unwrap();
    let mut inheritance = Inheritance::default();
    let got = far.take_descriptors(1).unwrap().remove(0);
    let other = "127.0.0.1:1".parse().unwrap();
    assert!(inheritance.add(head(other), got).is_err(), "another place");
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    assert!(
        inheritance.add(head(address), silent.into()).is_err(),
        "one that does not listen"
    );
}

#[tokio::test]
async fn systemd_is_told_and_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let supervisor = Supervisor::at(Some(path.into_os_string()));
    supervisor.ready();
    let mut bytes = [0; 256];
    let count = socket.recv(&mut bytes).await.unwrap();
    assert!(bytes[..count].starts_with(b"READY=1\n"));
    let told = async {
        let count = socket.recv(&mut bytes).await.unwrap();
        assert!(bytes[..count].starts_with(b"MAINPID=42\n"));
        // The descriptor beside it is not taken, and so is closed by the read.
        let count = socket.recv(&mut bytes).await.unwrap();
        assert_eq!(&bytes[..count], b"BARRIER=1");
    };
    let limit = Duration::from_secs(2);
    tokio::time::timeout(limit, async { tokio::join!(supervisor.main_pid(42), told) })
        .await
        .expect("the barrier is lifted by the read");
    Supervisor::at(None).main_pid(1).await;
}

/// What was shipped once is understood for good: the two processes of an upgrade are of two versions.
#[test]
fn what_other_versions_say_is_understood() {
    let text = include_str!("../../../../tests/goldens/0.1.0/handover-messages.jsonl");
    let mut words = std::collections::BTreeSet::new();
    for line in text.lines() {
        let known: Message = serde_json::from_str(line).unwrap();
        let more = line.replacen('{', "{\"added\":{\"by\":\"a later version\"},", 1);
        assert_eq!(serde_json::from_str::<Message>(&more).unwrap(), known);
        // And what is said now is that, or more.
        let said = serde_json::to_value(&known).unwrap();
        let golden: serde_json::Value = serde_json::from_str(line).unwrap();
        for (name, value) in golden.as_object().unwrap() {
            assert_eq!(said.get(name), Some(value), "{line}");
        }
        words.insert(said["say"].to_string());
    }
    assert_eq!(words.len(), 11, "a word without a golden: {words:?}");
}

/// A predecessor or a successor of the first version gives no signs of life, and waits for none.
#[tokio::test]
async fn without_signs_of_life_on_one_side_there_are_none() {
    let (near, far) = UnixStream::pair().unwrap();
    let (mut near, mut far) = (Link::new(near), Link::new(far));
    for (told, beats) in [("", false), (",\"beats\":true", true)] {
        let text = format!("{{\"say\":\"commit\"{told}}}");
        let message: Message = serde_json::from_str(&text).unwrap();
        near.send(&message).await.unwrap();
        let heard = far.receive().await.unwrap();
        assert!(matches!(heard, Message::Commit { beats: said, .. } if said == beats));
    }
}
