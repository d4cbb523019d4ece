mod grpc;
mod http;
mod runner;
mod servers;
mod tls;

use super::*;
use servers::Server;

/// Long enough never to decide a test that doesn't wait for it.
const AMPLE: Duration = Duration::from_secs(20);
/// For tests whose server never answers.
const SHORT: Duration = Duration::from_millis(60);

fn target(server: &Server, check: CheckKind) -> ProbeTarget {
    ProbeTarget {
        address: server.address,
        authority: server.address.to_string(),
        check: Arc::new(check),
        tls: None,
        h2: false,
        timeout: AMPLE,
    }
}

fn http() -> CheckKind {
    CheckKind::Http(HttpCheck::default())
}

fn http_body(text: &str) -> CheckKind {
    CheckKind::Http(HttpCheck {
        body: Some(text.into()),
        ..HttpCheck::default()
    })
}

/// Probes once: `None` when it passed.
async fn failure(target: ProbeTarget) -> Option<ProbeFailure> {
    Prober::new(target).unwrap().probe().await.failure()
}
