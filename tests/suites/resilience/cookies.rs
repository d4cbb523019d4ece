//! Affinity by a signed cookie.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use strata_tests::eventually;
use strata_tests::http::{Answer, Dial, empty};
use strata_tests::topology::Platform;

use crate::bed::{Bed, SOON, replica, states};

async fn start(servers: usize) -> Result<(Platform, tempfile::TempDir)> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("secret");
    std::fs::write(&file, "a-secret-of-sixteen-or-more\n")?;
    let lines = format!(
        "affinity: {{ cookie: stay, ttl: 5m, secret_file: \"{}\" }}",
        file.display()
    );
    let platform = Bed::of(servers, "p2c").pool(&lines).start().await?;
    Ok((platform, dir))
}

async fn ask(platform: &Platform, cookie: Option<&str>) -> Result<Answer> {
    let request = http::Request::get("/");
    let request = match cookie {
        Some(value) => request.header("cookie", format!("a=b; stay={value}; c=d")),
        None => request,
    };
    let answer = Dial::http1(platform.address()?)
        .send(request.body(empty())?)
        .await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer)
}

fn cookie(answer: &Answer) -> Result<String> {
    let field = answer.header("set-cookie");
    let value = field.strip_prefix("stay=").context("no cookie")?;
    for part in ["Path=/", "Max-Age=300", "HttpOnly", "SameSite=Lax"] {
        ensure!(field.contains(part), "{field}");
    }
    Ok(value.split(';').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_user_stays_and_others_are_spread() -> Result<()> {
    let (platform, _dir) = start(3).await?;
    let mut servers = BTreeSet::new();
    for _ in 0..30 {
        let first = ask(&platform, None).await?;
        ensure!(!first.header("set-cookie").contains("Secure"), "plain text");
        let (server, value) = (first.header("x-served-by").to_owned(), cookie(&first)?);
        for _ in 0..5 {
            let again = ask(&platform, Some(&value)).await?;
            ensure!(again.header("x-served-by") == server, "{again:?}");
            ensure!(again.header("set-cookie").is_empty(), "{again:?}");
        }
        servers.insert(server);
    }
    ensure!(servers.len() == 3, "{servers:?}");
    let kept = replica(&platform)?
        .metric("lb_affinity_total", &["result=\"kept\""])
        .await?;
    ensure!(kept == 150.0, "{kept}");
    Ok(())
}

#[tokio::test]
async fn a_cookie_that_was_tampered_with_is_ignored_and_replaced() -> Result<()> {
    let (platform, _dir) = start(3).await?;
    let first = ask(&platform, None).await?;
    let (server, value) = (first.header("x-served-by").to_owned(), cookie(&first)?);
    let other = ["r1-web-1", "r1-web-2", "r1-web-3"]
        .into_iter()
        .find(|s| *s != server);
    let forged = value.replace(&server, other.context("another")?);
    let mut seen = BTreeSet::new();
    for bad in [forged.as_str(), "", "r1-web-1", "..", &"x".repeat(300)] {
        for _ in 0..8 {
            let answer = ask(&platform, Some(bad)).await?;
            cookie(&answer)?;
            seen.insert(answer.header("x-served-by").to_owned());
        }
    }
    ensure!(seen.len() == 3, "it chose the server: {seen:?}");
    let bad = replica(&platform)?
        .metric("lb_affinity_total", &["result=\"bad\""])
        .await?;
    ensure!(bad == 40.0, "{bad}");
    Ok(())
}

#[tokio::test]
async fn a_user_whose_server_is_gone_moves_once() -> Result<()> {
    let (platform, _dir) = start(3).await?;
    let first = ask(&platform, None).await?;
    let server = first.header("x-served-by").to_owned();
    let mut value = cookie(&first)?;
    let gone = platform
        .servers()
        .find(|s| s.name() == server)
        .context("server")?;
    gone.crash().await;
    let moved = ask(&platform, Some(&value)).await?;
    let new = moved.header("x-served-by").to_owned();
    ensure!(new != server, "{moved:?}");
    value = cookie(&moved)?;
    eventually(SOON, "its loss is known", async || {
        let states = states(&platform).await?;
        ensure!(states.iter().any(|s| s == "unhealthy"), "{states:?}");
        Ok(())
    })
    .await?;
    gone.reopen().await?;
    for _ in 0..10 {
        let again = ask(&platform, Some(&value)).await?;
        ensure!(again.header("x-served-by") == new, "{again:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_affinity_there_is_no_cookie() -> Result<()> {
    let platform = Bed::of(3, "p2c").start().await?;
    let mut seen = BTreeSet::new();
    for _ in 0..30 {
        let answer = ask(&platform, Some("r1-web-1")).await?;
        ensure!(answer.header("set-cookie").is_empty(), "{answer:?}");
        seen.insert(answer.header("x-served-by").to_owned());
    }
    ensure!(seen.len() == 3, "the control: {seen:?}");
    Ok(())
}
