use super::schedule::{FLOOR, Schedule};
use super::*;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use lb_core::time::Instant;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;

/// Gives results in turn, then the last one for ever, and remembers when it was asked.
struct Script {
    results: Mutex<VecDeque<Result<Answer, ResolveError>>>,
    asked: Mutex<Vec<tokio::time::Instant>>,
    done: tokio::sync::Notify,
}

impl Script {
    fn new(results: impl IntoIterator<Item = Result<Answer, ResolveError>>) -> Self {
        Self {
            results: Mutex::new(results.into_iter().collect()),
            asked: Mutex::default(),
            done: tokio::sync::Notify::new(),
        }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl Resolver for Script {
    async fn resolve(&self, _: &str) -> Result<Answer, ResolveError> {
        self.asked.lock().unwrap().push(tokio::time::Instant::now());
        let next = self.results.lock().unwrap().pop_front();
        match next {
            Some(result) => result,
            None => {
                self.done.notify_one();
                std::future::pending().await
            }
        }
    }
}

fn answer(addresses: &[&str], ttl: u64) -> Result<Answer, ResolveError> {
    Ok(Answer {
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        ttl: Duration::from_secs(ttl),
    })
}

fn failed() -> Result<Answer, ResolveError> {
    Err(ResolveError::Timeout)
}

fn target(name: &str) -> WatchTarget {
    WatchTarget {
        name: name.into(),
        port: 80,
        interval: Duration::from_secs(10),
    }
}

fn clock() -> Instant {
    Instant::from_millis(1000)
}

/// Watches until the script is out. Returns what was reported.
async fn play(script: &Script, stats: &WatchStats) -> Vec<Vec<SocketAddr>> {
    let reports = Mutex::new(Vec::new());
    let target = target("web.example");
    tokio::select! {
        () = watch(script, &target, stats, clock, 1, |a| reports.lock().unwrap().push(a)) => {}
        () = script.done.notified() => {}
    }
    reports.into_inner().unwrap()
}

fn sockets(addresses: &[&str]) -> Vec<SocketAddr> {
    addresses.iter().map(|a| a.parse().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn only_changes_are_reported_sorted_and_once() {
    let script = Script::new([
        answer(&["10.0.0.2", "10.0.0.1", "10.0.0.2", "2001:db8::1"], 5),
        answer(&["2001:db8::1", "10.0.0.1", "10.0.0.2"], 5),
        answer(&["10.0.0.1"], 5),
    ]);
    let reports = play(&script, &WatchStats::default()).await;
    assert_eq!(
        reports,
        [
            sockets(&["10.0.0.1:80", "10.0.0.2:80", "[2001:db8::1]:80"]),
            sockets(&["10.0.0.1:80"]),
        ],
        "a resolver that rotates its answers changes nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn failures_and_empty_answers_keep_the_last_good_addresses() {
    let script = Script::new([
        answer(&["10.0.0.1"], 5),
        failed(),
        answer(&[], 5),
        Err(ResolveError::NoAddress),
        answer(&["10.0.0.1"], 5),
    ]);
    let stats = WatchStats::default();
    assert_eq!(stats.age(clock()), None);
    let reports = play(&script, &stats).await;
    assert_eq!(reports, [sockets(&["10.0.0.1:80"])]);
    assert_eq!((stats.answers(), stats.failures()), (2, 3));
    let later = Instant::from_millis(4000);
    assert_eq!(stats.age(later), Some(Duration::from_secs(3)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_is_there_tells_and_a_failure_does_not() {
    let refused = || Err(ResolveError::Failed("server failure".into()));
    for (results, is_told) in [
        (vec![failed(), refused()], false),
        (vec![failed(), Err(ResolveError::NoAddress)], true),
        (vec![answer(&[], 5), failed()], true),
        (vec![answer(&["10.0.0.1"], 5)], true),
    ] {
        let stats = WatchStats::default();
        let is_good = matches!(results.last(), Some(Ok(answer)) if !answer.addresses.is_empty());
        play(&Script::new(results), &stats).await;
        assert_eq!(stats.is_told(), is_told);
        let trouble = stats.trouble();
        assert_eq!(trouble.is_none(), is_good, "{trouble:?}");
        assert!(is_good || trouble.unwrap().contains("web.example"));
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_follow_the_ttl_between_floor_and_interval() {
    let script = Script::new([
        answer(&["10.0.0.1"], 5),
        answer(&["10.0.0.1"], 0),
        answer(&["10.0.0.1"], 86_400),
    ]);
    play(&script, &WatchStats::default()).await;
    let asked = script.asked.lock().unwrap().clone();
    let pauses: Vec<_> = asked
        .windows(2)
        .map(|w| (w[1] - w[0]).as_millis())
        .collect();
    for (pause, aim) in pauses.iter().zip([5000, 1000, 10_000]) {
        assert!(
            (aim * 9 / 10..=aim + 2).contains(pause) && *pause >= 1000,
            "{pauses:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_literal_address_never_touches_the_resolver() {
    for (name, address) in [
        ("10.0.0.1", "10.0.0.1:80"),
        ("2001:db8::1", "[2001:db8::1]:80"),
        ("[2001:db8::1]", "[2001:db8::1]:80"),
    ] {
        let script = Script::new([]);
        let reports = Mutex::new(Vec::new());
        let stats = WatchStats::default();
        watch(&script, &target(name), &stats, clock, 1, |a| {
            reports.lock().unwrap().push(a);
        })
        .await;
        assert_eq!(reports.into_inner().unwrap(), [sockets(&[address])]);
        assert_eq!(script.asked(), 0);
    }
}

#[test]
fn failing_resolvers_are_asked_less_and_less_but_at_least_each_interval() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut schedule = Schedule::new(80, Duration::from_secs(10));
    let pauses: Vec<_> = (0..70)
        .map(|_| schedule.on_result(&failed(), &mut rng).pause)
        .collect();
    assert_eq!(pauses[0], FLOOR);
    assert!(pauses[1] > FLOOR && pauses[2] > pauses[1]);
    assert!(
        pauses
            .iter()
            .all(|p| *p >= FLOOR && *p <= Duration::from_secs(10))
    );
    assert!(pauses[69] >= Duration::from_secs(9));
    let recovered = schedule.on_result(&answer(&["10.0.0.1"], 1), &mut rng);
    assert_eq!(recovered.pause, FLOOR);
    assert_eq!(
        schedule.on_result(&failed(), &mut rng).pause,
        FLOOR,
        "the series starts anew"
    );
}

/// A name server that knows `web.example` (both families), `four.example` (A only, AAAA fails) and `empty.example`.
async fn name_server() -> SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..length]).unwrap();
            let reply = reply(question).to_vec().unwrap();
            let _ = socket.send_to(&reply, peer).await;
        }
    });
    address
}

fn reply(question: Message) -> Message {
    let query = question.queries[0].clone();
    let name = query.name().clone();
    let mut reply = question.into_response();
    let mut add = |data, ttl| {
        reply
            .answers
            .push(Record::from_rdata(name.clone(), ttl, data))
    };
    match (name.to_ascii().as_str(), query.query_type()) {
        ("web.example.", RecordType::A) => {
            add(RData::A(A::new(10, 0, 0, 1)), 30);
            add(RData::A(A::new(10, 0, 0, 2)), 30);
        }
        ("web.example.", RecordType::AAAA) => {
            add(RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 7);
        }
        ("four.example.", RecordType::A) => add(RData::A(A::new(10, 0, 0, 4)), 30),
        ("four.example." | "broken.example.", _) => {
            reply.metadata.response_code = ResponseCode::ServFail
        }
        ("empty.example.", _) => {}
        _ => reply.metadata.response_code = ResponseCode::NXDomain,
    }
    reply
}

#[tokio::test]
async fn the_systems_resolver_gives_both_families_and_the_shortest_ttl() {
    let address = name_server().await;
    let mut connection = ConnectionConfig::udp();
    connection.port = address.port();
    let server = NameServerConfig::new(address.ip(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, vec![], vec![server]);
    let resolver = SystemResolver::with_config(config, ResolverOpts::default()).unwrap();

    let mut found = resolver.resolve("web.example.").await.unwrap();
    found.addresses.sort();
    assert_eq!(
        found.addresses,
        answer(&["10.0.0.1", "10.0.0.2", "2001:db8::1"], 7)
            .unwrap()
            .addresses
    );
    assert!(
        found.ttl <= Duration::from_secs(7) && found.ttl > Duration::from_secs(5),
        "{:?}",
        found.ttl
    );

    let four = resolver.resolve("four.example.").await.unwrap();
    assert_eq!(four.addresses, answer(&["10.0.0.4"], 30).unwrap().addresses);
    for none in ["empty.example.", "unknown.example."] {
        assert_eq!(
            resolver.resolve(none).await,
            Err(ResolveError::NoAddress),
            "{none}"
        );
    }
    let broken = resolver.resolve("broken.example.").await;
    assert!(
        matches!(broken, Err(ResolveError::Failed(_))),
        "no answer, not one that there is nobody: {broken:?}"
    );
    assert!(resolver.resolve("bad name!.").await.is_err());
}
