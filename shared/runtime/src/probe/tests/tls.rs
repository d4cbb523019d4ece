use super::servers::{Certificate, H2Script};
use super::*;
use lb_core::config::model::UpstreamTls;
use std::path::PathBuf;

fn settings(ca: Option<&Certificate>, name: Option<&str>) -> UpstreamTls {
    UpstreamTls {
        server_name: name.map(str::to_owned),
        ca: ca.map(|certificate| certificate.file.path().to_owned()),
        verify: true,
    }
}

fn secured(server: &Server, check: CheckKind, tls: &UpstreamTls) -> ProbeTarget {
    ProbeTarget {
        tls: Some(Arc::new(ProbeTls::new(tls).unwrap())),
        ..target(server, check)
    }
}

#[tokio::test]
async fn a_trusted_certificate_for_the_name_passes() {
    let certificate = Certificate::for_name("web.example");
    let server = Server::tls(&certificate, None).await;
    let tls = settings(Some(&certificate), Some("web.example"));
    for check in [http(), CheckKind::Tcp] {
        assert_eq!(failure(secured(&server, check, &tls)).await, None);
    }
    let mut by_authority = secured(&server, http(), &settings(Some(&certificate), None));
    by_authority.authority = "web.example:8443".into();
    assert_eq!(
        failure(by_authority).await,
        None,
        "the name is the authority's by default"
    );
}

#[tokio::test]
async fn a_certificate_for_another_name_fails() {
    let certificate = Certificate::for_name("web.example");
    let server = Server::tls(&certificate, None).await;
    let tls = settings(Some(&certificate), Some("other.example"));
    assert_eq!(
        failure(secured(&server, http(), &tls)).await,
        Some(ProbeFailure::Tls)
    );
    let by_address = settings(Some(&certificate), None);
    assert_eq!(
        failure(secured(&server, http(), &by_address)).await,
        Some(ProbeFailure::Tls)
    );
}

#[tokio::test]
async fn untrusted_and_expired_certificates_fail() {
    let (certificate, stranger) = (
        Certificate::for_name("web.example"),
        Certificate::for_name("web.example"),
    );
    let server = Server::tls(&certificate, None).await;
    let tls = settings(Some(&stranger), Some("web.example"));
    assert_eq!(
        failure(secured(&server, http(), &tls)).await,
        Some(ProbeFailure::Tls)
    );
    let expired = Certificate::expired("web.example");
    let server = Server::tls(&expired, None).await;
    let tls = settings(Some(&expired), Some("web.example"));
    assert_eq!(
        failure(secured(&server, http(), &tls)).await,
        Some(ProbeFailure::Tls)
    );
}

#[tokio::test]
async fn drills_may_leave_verification_out() {
    let expired = Certificate::expired("web.example");
    let server = Server::tls(&expired, None).await;
    let tls = UpstreamTls {
        verify: false,
        ..UpstreamTls::default()
    };
    assert_eq!(failure(secured(&server, http(), &tls)).await, None);
}

#[tokio::test]
async fn a_plain_server_fails_and_a_silent_one_times_out() {
    let certificate = Certificate::for_name("web.example");
    let tls = settings(Some(&certificate), Some("web.example"));
    // The first record looks like a request head that never ends.
    let plain = Server::new(|mut stream| async move {
        use tokio::io::AsyncWriteExt;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    assert_eq!(
        failure(secured(&plain, http(), &tls)).await,
        Some(ProbeFailure::Tls)
    );
    let silent = Server::silent().await;
    let silent = ProbeTarget {
        timeout: SHORT,
        ..secured(&silent, CheckKind::Tcp, &tls)
    };
    assert_eq!(
        failure(silent).await,
        Some(ProbeFailure::Timeout),
        "the handshake is within the deadline"
    );
}

#[tokio::test]
async fn http2_and_grpc_go_over_tls() {
    let certificate = Certificate::for_name("web.example");
    let tls = settings(Some(&certificate), Some("web.example"));
    let script = H2Script {
        status: 200,
        headers: vec![("content-type", "application/grpc")],
        body: vec![0, 0, 0, 0, 2, 8, 1].into(),
        trailers: Some(vec![("grpc-status", "0")]),
        ..H2Script::default()
    };
    let server = Server::tls(&certificate, Some(script)).await;
    let grpc = CheckKind::Grpc(GrpcCheck::default());
    assert_eq!(failure(secured(&server, grpc, &tls)).await, None);
    let h2 = ProbeTarget {
        h2: true,
        ..secured(&server, http(), &tls)
    };
    assert_eq!(failure(h2).await, None);
}

#[tokio::test]
async fn authorities_must_be_readable_and_usable() {
    let ca = |path: PathBuf| {
        ProbeTls::new(&UpstreamTls {
            ca: Some(path),
            ..UpstreamTls::default()
        })
    };
    let missing = ca("/nonexistent/ca.pem".into()).unwrap_err();
    assert!(
        missing.to_string().contains("/nonexistent/ca.pem"),
        "{missing}"
    );
    let empty = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(
        ca(empty.path().into()),
        Err(TlsSetupError::NoAuthorities)
    ));
    let certificate = Certificate::for_name("web.example");
    let server = Server::tls(&certificate, None).await;
    let target = secured(
        &server,
        http(),
        &settings(Some(&certificate), Some("not a name")),
    );
    assert_eq!(
        Prober::new(target).unwrap_err(),
        SetupError::ServerName("not a name".into())
    );
}

#[tokio::test]
async fn each_probe_shakes_hands_in_full() {
    let certificate = Certificate::for_name("web.example");
    let acceptor = certificate.acceptor();
    let (kinds, mut seen) = tokio::sync::mpsc::channel(2);
    let server = Server::new(move |stream| {
        let (acceptor, kinds) = (acceptor.clone(), kinds.clone());
        async move {
            let stream = acceptor.accept(stream).await.unwrap();
            let _ = kinds.send(stream.get_ref().1.handshake_kind()).await;
            servers::answer_raw(
                stream,
                (*b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").into(),
            )
            .await;
        }
    })
    .await;
    let tls = settings(Some(&certificate), Some("web.example"));
    let prober = Prober::new(secured(&server, http(), &tls)).unwrap();
    for _ in 0..2 {
        assert_eq!(prober.probe().await.failure(), None);
        let kind = seen.recv().await.flatten();
        assert_eq!(kind, Some(tokio_rustls::rustls::HandshakeKind::Full));
    }
}
