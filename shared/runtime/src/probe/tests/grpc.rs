use super::servers::H2Script;
use super::*;

fn check() -> CheckKind {
    CheckKind::Grpc(GrpcCheck {
        service: "shop".into(),
    })
}

/// A complete answer with the serving status.
fn answer(serving: u8) -> H2Script {
    H2Script {
        status: 200,
        headers: vec![("content-type", "application/grpc+proto")],
        body: vec![0, 0, 0, 0, 2, 8, serving].into(),
        trailers: Some(vec![("grpc-status", "0")]),
        ..H2Script::default()
    }
}

/// An answer of a head only.
fn refusal(status: &'static str) -> H2Script {
    H2Script {
        status: 200,
        headers: vec![
            ("content-type", "application/grpc"),
            ("grpc-status", status),
        ],
        ..H2Script::default()
    }
}

async fn probe(script: H2Script) -> Option<ProbeFailure> {
    let server = Server::h2(script).await;
    failure(target(&server, check())).await
}

#[tokio::test]
async fn only_serving_passes() {
    assert_eq!(probe(answer(1)).await, None);
    for other in [0, 2, 3, 99] {
        assert_eq!(
            probe(answer(other)).await,
            Some(ProbeFailure::NotServing),
            "{other}"
        );
    }
}

#[tokio::test]
async fn the_call_asks_for_the_service() {
    let (seen, mut requests) = tokio::sync::mpsc::channel(1);
    let script = H2Script {
        seen: Some(seen),
        ..answer(1)
    };
    assert_eq!(probe(script).await, None);
    let request = requests.recv().await.unwrap();
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.method(), "POST");
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    assert_eq!(request.headers()["grpc-timeout"], "20000m");
    assert_eq!(request.body(), b"\0\0\0\0\x06\x0a\x04shop");
}

#[tokio::test]
async fn refused_calls_fail_with_what_they_say() {
    for (status, reason) in [
        ("12", ProbeFailure::Protocol),
        ("5", ProbeFailure::NotServing),
        ("14", ProbeFailure::NotServing),
        ("4", ProbeFailure::Timeout),
        ("13", ProbeFailure::Protocol),
        ("nonsense", ProbeFailure::Protocol),
    ] {
        assert_eq!(
            probe(refusal(status)).await,
            Some(reason),
            "in the head: {status}"
        );
        let trailing = H2Script {
            trailers: Some(vec![("grpc-status", status)]),
            ..answer(1)
        };
        assert_eq!(
            probe(trailing).await,
            Some(reason),
            "in the trailers: {status}"
        );
    }
}

#[tokio::test]
async fn an_answer_without_a_status_is_no_answer() {
    let cut = H2Script {
        trailers: None,
        ..answer(1)
    };
    assert_eq!(probe(cut).await, Some(ProbeFailure::Protocol));
}

#[tokio::test]
async fn plain_http_is_not_grpc() {
    let html = H2Script {
        headers: vec![("content-type", "text/html")],
        ..answer(1)
    };
    assert_eq!(probe(html).await, Some(ProbeFailure::Protocol));
    let unavailable = H2Script {
        status: 503,
        ..answer(1)
    };
    assert_eq!(probe(unavailable).await, Some(ProbeFailure::BadStatus(503)));
}

#[tokio::test]
async fn malformed_and_endless_messages_are_refused() {
    for body in [
        vec![],
        vec![0; 3],
        vec![1, 0, 0, 0, 2, 8, 1],
        vec![0; 100_000],
    ] {
        let length = body.len();
        let broken = H2Script {
            body: body.into(),
            ..answer(1)
        };
        assert_eq!(
            probe(broken).await,
            Some(ProbeFailure::Protocol),
            "{length} bytes"
        );
    }
}
