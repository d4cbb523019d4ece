use super::*;
use crate::metrics::{EndpointMetrics, Metrics};
use crate::upstream::{EndpointKey, Target};
use lb_core::balance::Load;
use lb_core::config::model::{Outlier, UpstreamHttp};
use lb_core::name::ServerName;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LIMIT: Duration = Duration::from_secs(10);

fn endpoint(id: u32) -> Arc<Endpoint> {
    let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let target = Target::new(UpstreamHttp::Http1, None, LIMIT, Path::new(".")).unwrap();
    let key = EndpointKey {
        pool: "p".into(),
        server: ServerName::new("s").unwrap(),
        address,
        target: target.fingerprint(),
    };
    let metrics = Metrics::new("regional", None).unwrap();
    let metrics = EndpointMetrics::new(&metrics.families, "p", "s");
    let load = Load::new(Instant::ZERO);
    let peer = target.peer(address, "s");
    Arc::new(Endpoint::new(
        EndpointId(id),
        key,
        load,
        &Outlier::default(),
        peer,
        metrics,
    ))
}

async fn pair(listener: &TcpListener) -> (Box<Wire>, TcpStream) {
    let near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (far, _) = listener.accept().await.unwrap();
    (Box::new(Wire::plain(near)), far)
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[tokio::test]
async fn the_connection_that_was_used_last_goes_out_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (idle, one) = (IdleConnections::new(8), endpoint(1));
    let (first, _far) = pair(&listener).await;
    let (second, mut far) = pair(&listener).await;
    idle.put(&one, first, at(0));
    idle.put(&one, second, at(1));
    assert!(idle.take(&endpoint(2), false, at(2)).is_none(), "another's");
    let (mut taken, age) = idle.take(&one, false, at(5)).unwrap();
    assert_eq!(age, Duration::from_millis(4));
    taken.write_all(b"x").await.unwrap();
    taken.flush().await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn a_close_is_noticed_at_once_and_teaches_the_age() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (idle, one) = (Arc::new(IdleConnections::new(8)), endpoint(1));
    let sweeper = idle.clone();
    let sweep = tokio::spawn(async move { sweeper.keep_swept().await });
    for _ in 0..2 {
        let (wire, far) = pair(&listener).await;
        idle.put(&one, wire, clock::now());
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(far);
        while idle.lock().count > 0 {
            tokio::task::yield_now().await;
        }
    }
    let learned = one.idle_limit.learned().expect("two closes at one age");
    assert!(
        learned >= Duration::from_millis(27) && learned < SWEEP,
        "{learned:?}"
    );
    sweep.abort();
}

#[tokio::test]
async fn an_aged_connection_is_not_handed_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (idle, one) = (IdleConnections::new(8), endpoint(1));
    let (wire, _far) = pair(&listener).await;
    idle.put(&one, wire, at(0));
    assert!(idle.take(&one, false, at(10_000)).is_none());
    assert_eq!(idle.lock().count, 0);
}

#[tokio::test]
async fn a_careful_request_takes_none_near_the_endpoints_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (idle, one) = (IdleConnections::new(8), endpoint(1));
    for _ in 0..2 {
        one.idle_limit.on_close(Duration::from_secs(5), at(0));
    }
    let (wire, _far) = pair(&listener).await;
    idle.put(&one, wire, at(0));
    assert!(idle.take(&one, true, at(3_000)).is_none());
    assert!(idle.take(&one, false, at(3_000)).is_some());
}

#[tokio::test]
async fn no_more_than_the_capacity_is_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (idle, one) = (IdleConnections::new(1), endpoint(1));
    let (first, _far) = pair(&listener).await;
    let (second, _far2) = pair(&listener).await;
    idle.put(&one, first, at(0));
    idle.put(&one, second, at(0));
    assert_eq!(idle.lock().count, 1);
}
