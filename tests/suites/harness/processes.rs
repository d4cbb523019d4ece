//! Children start, speak, freeze and die on command, and never outlive their owner.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use strata_tests::process::{Launch, Signal};
use strata_tests::tools::Tool;
use strata_tests::{eventually, http, ports, steadily};

const SOON: Duration = Duration::from_secs(5);

fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn eventually_says_what_it_saw_last() -> Result<()> {
    let mut tries = 0;
    let failed = eventually(Duration::from_millis(100), "a seven", async || {
        tries += 1;
        if tries > 1_000 {
            Ok(())
        } else {
            bail!("saw {tries}")
        }
    })
    .await;
    let text = format!("{:#}", failed.err().unwrap());
    ensure!(
        text.contains("a seven") && text.contains("last seen: saw "),
        "{text}"
    );
    let hung = eventually::<(), _>(Duration::from_millis(50), "an answer", async || {
        std::future::pending().await
    })
    .await;
    let text = format!("{:#}", hung.err().unwrap());
    ensure!(text.contains("still hung"), "{text}");
    Ok(())
}

#[tokio::test]
async fn steadily_fails_at_the_first_break() -> Result<()> {
    let mut tries = 0;
    let broken = steadily(SOON, "below three", async || {
        tries += 1;
        ensure!(tries < 3, "saw {tries}");
        Ok(())
    })
    .await;
    ensure!(format!("{:#}", broken.err().unwrap()).contains("saw 3"));
    Ok(())
}

#[tokio::test]
async fn output_lines_are_found_and_an_early_end_is_told() -> Result<()> {
    let mut child = Launch::new("talker", "/bin/sh")
        .args(["-c", "echo port=4711; echo oops >&2; sleep 60"])
        .start()?;
    ensure!(child.wait_line(r"^port=(\d+)$", SOON).await? == "4711");
    child.wait_line("^oops$", SOON).await?;

    let mut child = Launch::new("quitter", "/bin/sh")
        .args(["-c", "echo why; exit 3"])
        .start()?;
    let failed = child.wait_line("never", Duration::from_secs(60)).await;
    let text = format!("{:#}", failed.err().unwrap());
    ensure!(
        text.contains("exit status: 3") && text.contains("why"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn drop_kills_the_whole_group() -> Result<()> {
    let mut child = Launch::new("parent", "/bin/sh")
        .args(["-c", "sleep 600 & echo child=$!; wait"])
        .start()?;
    let grandchild: u32 = child.wait_line(r"^child=(\d+)", SOON).await?.parse()?;
    let pid = child.pid();
    ensure!(is_alive(pid) && is_alive(grandchild), "started");
    drop(child);
    ensure!(!is_alive(pid), "{pid} survived its owner");
    eventually(SOON, "end of the grandchild", async || {
        ensure!(!is_alive(grandchild), "{grandchild} is alive");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn signals_arrive() -> Result<()> {
    let address = ports::free()?;
    let mut child = Launch::new("python-http", Tool::Python.path()?)
        .arg(strata_tests::tools::peer_file("http_server.py"))
        .args([
            address.ip().to_string(),
            address.port().to_string(),
            "p".to_owned(),
        ])
        .start()?;
    child.wait_http(address, "/", 200, SOON).await?;
    child.freeze().await?;
    let silent = tokio::time::timeout(Duration::from_millis(200), http::get(address, "/")).await;
    ensure!(silent.is_err(), "a frozen process answered: {silent:?}");
    child.thaw().await?;
    child.wait_http(address, "/", 200, SOON).await?;
    ensure!(child.usage()?.anonymous_kib > 1_000, "{:?}", child.usage()?);
    let status = child.terminate(SOON).await?;
    ensure!(!status.success(), "ended by SIGTERM: {status}");
    ensure!(
        child.signal(Signal::SIGHUP).is_err(),
        "a dead process took a signal"
    );
    ensure!(
        http::get(address, "/").await.is_err(),
        "a dead process answered"
    );
    Ok(())
}

#[tokio::test]
async fn a_failing_tool_shows_its_output() -> Result<()> {
    let run = Launch::new("false", "/bin/sh").args(["-c", "echo the reason; exit 1"]);
    let text = format!("{:#}", run.run_ok(SOON).await.err().unwrap());
    ensure!(text.contains("the reason"), "{text}");
    Ok(())
}

#[test]
fn claims_and_ports_never_collide() -> Result<()> {
    let (one, two) = (ports::Loopback::claim()?, ports::Loopback::claim()?);
    ensure!(one.ip() != two.ip(), "both got {}", one.ip());
    let mut all = ports::several(200)?;
    all.sort();
    all.dedup();
    ensure!(all.len() == 200, "a port was given out twice");
    Ok(())
}
