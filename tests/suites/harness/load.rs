//! The load generator and the reconciliation find what was injected: losses, repeats, truncation, lateness.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use strata_tests::load::{Kind, Load, Mode};
use strata_tests::reconcile::reconcile;
use strata_tests::server::{Fault, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

const SPAN: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_healthy_run_is_clean_in_each_mode() -> Result<()> {
    for mode in [Mode::KeepAlive, Mode::NewConnection, Mode::H2c(3)] {
        let server = Server::start("s").await?;
        let load = Load::at(server.address())
            .rate(300.0)
            .mode(mode)
            .posts(0.25, 20_000);
        let report = load
            .paths(["/", "/bytes/50000", "/upload"])
            .run_for(SPAN)
            .await?;
        ensure!(
            report.success_ratio() == 1.0 && report.sent > 100,
            "{mode:?}: {report}"
        );
        let result = reconcile(&report, [server.ledger()]);
        ensure!(
            result.is_clean() && result.repeated.is_empty(),
            "{mode:?}: {result}"
        );
        ensure!(result.arrivals == result.sent, "{mode:?}: {result}");
        ensure!(
            report.by_server().get("s") == Some(&result.sent),
            "{report}"
        );
        let posts = report
            .outcomes
            .iter()
            .filter(|o| o.method == Method::POST)
            .count();
        ensure!(
            posts.abs_diff(result.sent / 4) <= 1,
            "{posts} POSTs of {}",
            result.sent
        );
        let connections = server.ledger().counts().connections;
        match mode {
            Mode::H2c(count) => ensure!(connections == count as u64, "{connections}"),
            Mode::NewConnection => ensure!(connections == report.sent, "{connections}"),
            Mode::KeepAlive => ensure!(connections < report.sent / 2, "{connections}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn requests_keep_coming_while_the_server_is_frozen() -> Result<()> {
    let server = Server::start("s").await?;
    let load = Load::at(server.address())
        .rate(200.0)
        .late_after(Duration::from_millis(150));
    let running = load.start()?;
    running.settle(40).await;
    running.mark("freeze");
    server.freeze();
    sleep(SPAN).await;
    let sent_while_frozen = running.snapshot().since("freeze").sent;
    server.thaw();
    running.mark("thaw");
    running.settle(40).await;
    let report = running.stop().await;
    ensure!(
        sent_while_frozen == 0,
        "answers came from a frozen server: {report}"
    );
    ensure!(report.failed == 0, "{report}");
    let frozen = report.marks[1].at - report.marks[0].at;
    let expected = (frozen.as_secs_f64() - 0.15) * 200.0;
    let share = report.late as f64 / expected;
    ensure!(
        (0.7..1.5).contains(&share),
        "about {expected:.0} answers must be late: {report}"
    );
    ensure!(
        report.max() >= Duration::from_millis(450),
        "latency counts from the due time: {report}"
    );
    ensure!(report.success_ratio() < 0.9, "{report}");
    ensure!(
        report.recovery_after("thaw").is_none_or(|time| time < SPAN),
        "{report}"
    );
    let width = Duration::from_millis(100);
    let late_slots = report
        .timeline(width)
        .iter()
        .filter(|slot| slot.late > 0)
        .count();
    ensure!(late_slots >= 3, "{:#?}", report.timeline(width));
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_runs_into_the_deadline() -> Result<()> {
    let server = Server::start("s").await?;
    server.freeze();
    let load = Load::at(server.address()).deadline(Duration::from_millis(200));
    let report = load.run_for(SPAN).await?;
    ensure!(report.failed == report.sent, "{report}");
    ensure!(report.by_kind().keys().eq([&Kind::Timeout]), "{report}");
    Ok(())
}

#[tokio::test]
async fn each_fault_is_told_by_its_kind() -> Result<()> {
    let faults = [
        (Fault::ResetBeforeHead, Kind::Reset),
        (Fault::CloseBeforeHead, Kind::Closed),
        (Fault::ResetAfterHead, Kind::Truncated),
        (Fault::Truncate, Kind::Truncated),
        (Fault::Garbage, Kind::Protocol),
    ];
    for (fault, kind) in faults {
        let server = Server::builder("s")
            .script(|s| s.inject(fault, 0.3))
            .start()
            .await?;
        let load = Load::at(server.address())
            .rate(200.0)
            .paths(["/bytes/5000"])
            .no_resend();
        let report = load.run_for(SPAN).await?;
        let share = report.failed as f64 / report.sent as f64;
        ensure!((0.1..0.5).contains(&share), "{fault:?}: {report}");
        ensure!(report.by_kind().keys().eq([&kind]), "{fault:?}: {report}");
        let result = reconcile(&report, [server.ledger()]);
        ensure!(
            result.failed.len() as u64 == report.failed,
            "{fault:?}: {result}"
        );
        ensure!(!result.is_clean(), "{result}");
    }
    Ok(())
}

#[tokio::test]
async fn bad_statuses_and_refused_connections_are_failures() -> Result<()> {
    let server = Server::builder("s")
        .script(|s| s.error_share = 1.0)
        .start()
        .await?;
    let report = Load::at(server.address()).run_for(SPAN).await?;
    ensure!(report.by_kind().keys().eq([&Kind::Status(500)]), "{report}");
    ensure!(report.failures().contains("from s"), "{report}");
    server.crash().await;
    let report = Load::at(server.address()).run_for(SPAN).await?;
    ensure!(report.by_kind().keys().eq([&Kind::Connect]), "{report}");
    let result = reconcile(&report, [server.ledger()]);
    ensure!(result.lost.len() as u64 == report.sent, "{result}");
    Ok(())
}

#[tokio::test]
async fn another_target_is_tried_when_one_refuses() -> Result<()> {
    let (one, two) = (Server::start("one").await?, Server::start("two").await?);
    one.crash().await;
    let report = Load::across([one.address(), two.address()])
        .run_for(SPAN)
        .await?;
    ensure!(report.success_ratio() == 1.0, "{report}");
    ensure!(report.by_server().keys().eq(["two"]), "{report}");
    Ok(())
}

#[tokio::test]
async fn a_stale_connection_is_resent_once_and_counted() -> Result<()> {
    let server = Server::start("s").await?;
    let load = Load::at(server.address()).rate(100.0);
    let running = load.start()?;
    for _ in 0..10 {
        running.settle(5).await;
        server.reset_connections();
    }
    let report = running.stop().await;
    ensure!(report.success_ratio() == 1.0, "{report}");
    ensure!(reconcile(&report, [server.ledger()]).is_clean(), "{report}");
    Ok(())
}

/// A bad proxy: sends what it gets to each of its servers, and gives back the first one's answer.
async fn repeating_proxy(servers: Vec<SocketAddr>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(strata_tests::ports::free()?).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let servers = servers.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let length = client.read(&mut request).await?;
                let mut answers = Vec::new();
                for server in servers {
                    let mut stream = TcpStream::connect(server).await?;
                    stream.write_all(&request[..length]).await?;
                    answers.push(stream);
                }
                copy_bidirectional(&mut client, &mut answers[0]).await?;
                anyhow::Ok(())
            });
        }
    });
    Ok(address)
}

#[tokio::test]
async fn a_repeat_is_found_and_a_repeated_post_most_of_all() -> Result<()> {
    let (one, two) = (Server::start("one").await?, Server::start("two").await?);
    let proxy = repeating_proxy(vec![one.address(), two.address()]).await?;
    let load = Load::at(proxy)
        .mode(Mode::NewConnection)
        .posts(0.5, 0)
        .field("connection", "close");
    let report = load.run_for(SPAN).await?;
    ensure!(
        report.success_ratio() == 1.0,
        "clients see nothing of it: {report}"
    );
    let result = reconcile(&report, [one.ledger(), two.ledger()]);
    ensure!(
        result.repeated_posts.len().abs_diff(result.sent / 2) <= 1,
        "{result}"
    );
    ensure!(
        result.repeated.len() + result.repeated_posts.len() == result.sent,
        "{result}"
    );
    ensure!((result.amplification() - 2.0).abs() < 0.01, "{result}");
    ensure!(!result.is_clean(), "{result}");
    Ok(())
}

/// A worse proxy: answers by itself, for another request, with wrong bytes.
async fn lying_proxy(answer: &'static str) -> Result<SocketAddr> {
    let listener = TcpListener::bind(strata_tests::ports::free()?).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let _ = client.read(&mut request).await?;
                client.write_all(answer.as_bytes()).await?;
                anyhow::Ok(())
            });
        }
    });
    Ok(address)
}

#[tokio::test]
async fn forged_mixed_and_corrupt_answers_are_found() -> Result<()> {
    const FORGED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    const MIXED: &str =
        "HTTP/1.1 200 OK\r\nx-test-id: other\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const CORRUPT: &str = "HTTP/1.1 200 OK\r\nx-body-seed: 5\r\nx-body-bytes: 2\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";
    const SHORT: &str = "HTTP/1.1 200 OK\r\nx-body-seed: 5\r\nx-body-bytes: 9\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let server = Server::start("s").await?;
    let run = async |answer| {
        let proxy = lying_proxy(answer).await?;
        Load::at(proxy)
            .mode(Mode::NewConnection)
            .run_for(SPAN)
            .await
    };
    let report = run(FORGED).await?;
    ensure!(report.success_ratio() == 1.0, "{report}");
    let result = reconcile(&report, [server.ledger()]);
    ensure!(
        result.forged.len() == result.sent && !result.is_clean(),
        "{result}"
    );
    for (answer, kind) in [
        (MIXED, Kind::Mixed),
        (CORRUPT, Kind::Corrupt),
        (SHORT, Kind::Truncated),
    ] {
        let report = run(answer).await?;
        ensure!(report.by_kind().keys().eq([&kind]), "{kind}: {report}");
    }
    Ok(())
}
