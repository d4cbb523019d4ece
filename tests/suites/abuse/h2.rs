//! HTTP/2: streams, header lists, resets.

use anyhow::{Result, ensure};
use h2::client;
use http::Request;
use strata_tests::http::Dial;
use strata_tests::server::Server;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{SOON, bystanders, limited, unharmed};

fn get(path: &str) -> Result<Request<()>> {
    Ok(Request::get(format!("http://t{path}")).body(())?)
}

#[tokio::test]
async fn streams_are_capped() -> Result<()> {
    let server = Server::start("s").await?;
    let platform = limited(server.address(), "h2: { max_streams: 5 }").await?;
    let (sender, connection) =
        client::handshake(TcpStream::connect(platform.address()?).await?).await?;
    tokio::spawn(async move { connection.await.ok() });
    let mut sender = sender.ready().await?;
    let mut running = Vec::new();
    for _ in 0..20 {
        // Waits for a place once the settings have come.
        let Ok(ready) = timeout(
            std::time::Duration::from_millis(500),
            sender.clone().ready(),
        )
        .await
        else {
            break;
        };
        sender = ready?;
        running.push(sender.send_request(get("/delay/1500")?, true)?.0);
    }
    ensure!(
        server.ledger().counts().peak_in_flight <= 5,
        "{:?}",
        server.ledger().counts()
    );
    ensure!(running.len() >= 5, "{} streams", running.len());
    Ok(())
}

#[tokio::test]
async fn a_huge_header_list_is_refused() -> Result<()> {
    let server = Server::start("s").await?;
    let platform = limited(server.address(), "h2: { max_header_list: 8KiB }").await?;
    let load = bystanders(&platform)?;
    let mut request = Request::get("/");
    for number in 0..100 {
        request = request.header(format!("x-{number}"), "a".repeat(200));
    }
    let answer = Dial::h2c(platform.address()?)
        .send(request.body(strata_tests::http::empty())?)
        .await;
    ensure!(
        answer.as_ref().map_or(true, |answer| answer.status == 431),
        "{answer:?}"
    );
    ensure!(
        server
            .ledger()
            .seen()
            .iter()
            .all(|seen| !seen.id.is_empty()),
        "it reached the server"
    );
    unharmed(load).await
}

#[tokio::test]
async fn rapid_resets_end_the_connection() -> Result<()> {
    let server = Server::builder("s")
        .script(|s| s.head_delay = std::time::Duration::from_millis(20))
        .start()
        .await?;
    let platform = limited(server.address(), "h2: { max_streams: 100, max_resets: 50 }").await?;
    let load = bystanders(&platform)?;
    let (sender, connection) =
        client::handshake(TcpStream::connect(platform.address()?).await?).await?;
    let driver = tokio::spawn(connection);
    let mut sender = sender.ready().await?;
    let mut sent = 0;
    while sent < 20_000 {
        let Ok(Ok(ready)) = timeout(SOON, sender.clone().ready()).await else {
            break;
        };
        sender = ready;
        let Ok((answer, mut stream)) = sender.send_request(get("/")?, true) else {
            break;
        };
        stream.send_reset(h2::Reason::CANCEL);
        drop(answer);
        sent += 1;
        if sent % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let reached = server.ledger().counts().requests;
    ensure!(
        sent < 20_000,
        "20000 resets were taken; {reached} requests reached the server"
    );
    ensure!(
        timeout(SOON, driver).await.is_ok(),
        "the connection is still open"
    );
    unharmed(load).await
}
