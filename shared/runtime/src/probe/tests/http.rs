use super::servers::{H2Script, nobody, read_head};
use super::*;
use lb_core::config::model::StatusRange;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_good_answer_passes_and_has_a_latency() {
    let server = Server::raw(OK).await;
    let result = Prober::new(target(&server, http())).unwrap().probe().await;
    assert!(matches!(result, ProbeResult::Pass { latency } if latency > Duration::ZERO));
}

#[tokio::test]
async fn statuses_are_judged_by_the_configured_ranges() {
    let server = Server::raw("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(
        failure(target(&server, http())).await,
        Some(ProbeFailure::BadStatus(500))
    );
    let lenient = CheckKind::Http(HttpCheck {
        statuses: vec![StatusRange {
            first: 500,
            last: 500,
        }],
        ..HttpCheck::default()
    });
    assert_eq!(failure(target(&server, lenient)).await, None);
}

#[tokio::test]
async fn the_body_must_contain_the_text() {
    let server = Server::raw(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nall\r\n5\r\n well\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(failure(target(&server, http_body("l w"))).await, None);
    let wrong = failure(target(&server, http_body("all's well"))).await;
    assert_eq!(wrong, Some(ProbeFailure::BodyMismatch));
}

#[tokio::test]
async fn a_frozen_process_fails_http_and_passes_tcp() {
    let server = Server::silent().await;
    let frozen = ProbeTarget {
        timeout: SHORT,
        ..target(&server, http())
    };
    assert_eq!(failure(frozen.clone()).await, Some(ProbeFailure::Timeout));
    assert_eq!(
        failure(ProbeTarget { h2: true, ..frozen }).await,
        Some(ProbeFailure::Timeout)
    );
    assert_eq!(
        failure(target(&server, CheckKind::Tcp)).await,
        None,
        "which is why HTTP is the default"
    );
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let server = Server::silent().await;
    for check in [http(), CheckKind::Tcp] {
        let closed = ProbeTarget {
            address: nobody().await,
            ..target(&server, check)
        };
        assert_eq!(failure(closed).await, Some(ProbeFailure::Refused));
    }
}

#[tokio::test]
async fn truncated_answers_are_found() {
    for cut in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nonly this",
    ] {
        let server = Server::raw(cut).await;
        assert_eq!(
            failure(target(&server, http())).await,
            Some(ProbeFailure::Reset),
            "{cut:?}"
        );
    }
}

#[tokio::test]
async fn broken_answers_are_found() {
    let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    for broken in [
        "220 smtp.example ESMTP\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        &huge,
    ] {
        let server = Server::raw(broken).await;
        let found = failure(target(&server, http())).await;
        assert_eq!(
            found,
            Some(ProbeFailure::Protocol),
            "{}",
            &broken[..20.min(broken.len())]
        );
    }
}

#[tokio::test]
async fn a_byte_at_a_time_does_not_stretch_the_deadline() {
    let server = Server::new(|mut stream| async move {
        let _ = read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let slow = ProbeTarget {
        timeout: SHORT,
        ..target(&server, http())
    };
    assert_eq!(failure(slow).await, Some(ProbeFailure::Timeout));
}

#[tokio::test]
async fn an_endless_body_is_read_only_to_the_limit() {
    let server = Server::new(|mut stream| async move {
        let _ = read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert_eq!(failure(target(&server, http())).await, None);
    assert_eq!(
        failure(target(&server, http_body("y"))).await,
        Some(ProbeFailure::BodyMismatch)
    );
}

#[tokio::test]
async fn the_request_is_what_was_configured() {
    let (seen, mut requests) = tokio::sync::mpsc::channel(1);
    let server = Server::new(move |mut stream| {
        let seen = seen.clone();
        async move {
            let head = read_head(&mut stream).await.unwrap_or_default();
            let _ = stream.write_all(OK.as_bytes()).await;
            let _ = seen.send(head).await;
        }
    })
    .await;
    let check = CheckKind::Http(HttpCheck {
        path: "/healthz?deep=1".into(),
        method: "OPTIONS".into(),
        host: Some("shop.example".into()),
        ..HttpCheck::default()
    });
    assert_eq!(failure(target(&server, check)).await, None);
    let head = requests.recv().await.unwrap().to_lowercase();
    assert!(
        head.starts_with("options /healthz?deep=1 http/1.1\r\n"),
        "{head}"
    );
    for field in [
        "host: shop.example",
        "user-agent: strata-health",
        "connection: close",
    ] {
        assert!(
            head.contains(&format!("\r\n{field}\r\n")),
            "{field} is not in {head}"
        );
    }
    assert_eq!(failure(target(&server, http())).await, None);
    let head = requests.recv().await.unwrap();
    assert!(
        head.contains(&format!("host: {}\r\n", server.address)),
        "{head}"
    );
}

#[tokio::test]
async fn http2_pools_are_probed_by_http2() {
    let (seen, mut requests) = tokio::sync::mpsc::channel(1);
    let server = Server::h2(H2Script {
        status: 200,
        body: vec![b'x'; 40_000].into(),
        seen: Some(seen),
        ..H2Script::default()
    })
    .await;
    let h2 = |check| ProbeTarget {
        h2: true,
        ..target(&server, check)
    };
    assert_eq!(failure(h2(http())).await, None);
    let request = requests.recv().await.unwrap();
    assert_eq!(
        request.uri().to_string(),
        format!("http://{}/", server.address)
    );
    assert_eq!(request.headers()["user-agent"], "strata-health");
    assert_eq!(
        failure(h2(http_body("y"))).await,
        Some(ProbeFailure::BodyMismatch)
    );
}

#[tokio::test]
async fn http2_bodies_beyond_the_first_window_are_read() {
    let mut body = vec![b'x'; super::super::body::MAX_BODY - 2];
    body.extend_from_slice(b"ok and more");
    body.extend_from_slice(&[b'x'; 100_000]);
    let server = Server::h2(H2Script {
        status: 200,
        body: body.into(),
        ..H2Script::default()
    })
    .await;
    let h2 = ProbeTarget {
        h2: true,
        ..target(&server, http_body("ok"))
    };
    assert_eq!(failure(h2).await, None);
}

#[tokio::test]
async fn http2_resets_and_other_protocols_are_told_apart() {
    let resets = Server::h2(H2Script {
        status: 200,
        reset: true,
        ..H2Script::default()
    })
    .await;
    let h2 = |server: &Server| ProbeTarget {
        h2: true,
        ..target(server, http())
    };
    assert_eq!(failure(h2(&resets)).await, Some(ProbeFailure::Reset));
    let http1 = Server::new(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(failure(h2(&http1)).await, Some(ProbeFailure::Protocol));
}

#[tokio::test]
async fn a_probe_that_is_dropped_closes_its_connection() {
    let (gone, mut left) = tokio::sync::mpsc::channel(1);
    let server = Server::new(move |mut stream| {
        let gone = gone.clone();
        async move {
            let _ = stream.read_to_end(&mut Vec::new()).await;
            let _ = gone.send(()).await;
        }
    })
    .await;
    for h2 in [false, true] {
        let silent = ProbeTarget {
            h2,
            timeout: SHORT,
            ..target(&server, http())
        };
        assert_eq!(failure(silent).await, Some(ProbeFailure::Timeout));
        assert_eq!(
            left.recv().await,
            Some(()),
            "the server sees the end, h2: {h2}"
        );
    }
}

#[tokio::test]
async fn checks_that_no_request_can_be_made_of_are_refused() {
    let server = Server::silent().await;
    let refused = |change: fn(&mut HttpCheck)| {
        let mut check = HttpCheck::default();
        change(&mut check);
        Prober::new(target(&server, CheckKind::Http(check))).unwrap_err()
    };
    assert_eq!(
        refused(|c| c.path = "x".into()),
        SetupError::Path("x".into())
    );
    assert_eq!(
        refused(|c| c.path = "/ x".into()),
        SetupError::Path("/ x".into())
    );
    assert_eq!(
        refused(|c| c.method = "G T".into()),
        SetupError::Method("G T".into())
    );
    assert_eq!(
        refused(|c| c.method = "CONNECT".into()),
        SetupError::Method("CONNECT".into())
    );
    assert_eq!(
        refused(|c| c.host = Some("a b".into())),
        SetupError::Host("a b".into())
    );
    assert_eq!(
        refused(|c| c.host = Some("a@b".into())),
        SetupError::Host("a@b".into())
    );
}

#[test]
fn http_is_the_default_check() {
    assert_eq!(CheckKind::of(&HealthCheck::default()), http());
}
