//! Websockets, with a server and a client that we did not write.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::peers::{self, Chat};
use strata_tests::subject::Subject;

#[tokio::test]
async fn a_websocket_echoes_and_closes_properly() -> Result<()> {
    let peer = peers::websocket_server().await?;
    let subject = Subject::start(&[peer.address]).await?;
    let chat = Chat {
        messages: 20,
        bytes: 100_000,
        quiet: Duration::from_secs(1),
    };
    let report = peers::websocket_client(subject.http1, chat).await?;
    ensure!(
        report["echoed"] == 20 && report["close_code"] == 1000,
        "{report}"
    );
    Ok(())
}
