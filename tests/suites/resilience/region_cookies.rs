//! Affinity to a region by a signed cookie, at the global tier.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::eventually;
use strata_tests::http::{self, Answer, Dial, empty};
use strata_tests::topology::{Platform, Replica, Topology};
use tempfile::TempDir;

use crate::bed::SOON;

/// Two global replicas over three regions that share by weight. Users also stay on a server, by a cookie of the regional tier.
async fn start(keeps: bool) -> Result<(Platform, TempDir)> {
    start_with(keeps, "").await
}

/// The same with more lines for each pool.
async fn start_with(keeps: bool, lines: &'static str) -> Result<(Platform, TempDir)> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("secret");
    std::fs::write(&file, "a-secret-of-sixteen-or-more\n")?;
    let affinity = format!(
        "affinity: {{ ttl: 5m, secret_file: \"{}\" }}",
        file.display()
    );
    let of_pools = affinity.clone();
    let plan = Topology::two_tier().globals(2).regions(3, 1, 2);
    let plan = plan.tune_regional(move |file| {
        for pool in &mut file.pools {
            pool.extra = format!("{of_pools}\n{lines}");
        }
    });
    let plan = plan.tune_global(move |file| {
        file.policy = match keeps {
            true => format!("weighted, {affinity}"),
            false => "weighted".to_owned(),
        };
        file.extra = "failover: { override_header: x-region }".to_owned();
    });
    let platform = plan.start().await?;
    let all = "requests for all regions";
    let mut seen = BTreeSet::new();
    eventually(SOON, all, async || {
        for global in &platform.globals {
            seen.insert((global.name(), region(&ask(global, &[]).await?)?));
        }
        ensure!(seen.len() == 6, "{seen:?}");
        Ok(())
    })
    .await?;
    Ok((platform, dir))
}

async fn ask(global: &Replica, fields: &[(&str, &str)]) -> Result<Answer> {
    let request = ::http::Request::get("/");
    let request = fields
        .iter()
        .fold(request, |r, (name, value)| r.header(*name, *value));
    let dial = Dial::http1(global.address());
    let answer = dial.send(request.body(empty())?).await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer)
}

/// `r1` of `r1-web-2`.
fn region(answer: &Answer) -> Result<String> {
    let server = answer.header("x-served-by");
    Ok(server.split('-').next().context("region")?.to_owned())
}

/// `name=value` of the cookie that is set, if one is.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let set = answer.headers.get_all("set-cookie").iter();
    let set = set.filter_map(|field| field.to_str().ok());
    let field = set.filter(|field| field.starts_with(&format!("{name}=")));
    field
        .map(|f| f.split(';').next().unwrap_or_default().to_owned())
        .next()
}

#[tokio::test]
async fn a_user_stays_in_a_region_and_there_on_a_server() -> Result<()> {
    let (platform, _dir) = start(true).await?;
    let mut regions = BTreeSet::new();
    let mut users = 0;
    // As many users as it takes to see each region, for a region that starts has a small share at first.
    while users < 20 || regions.len() < 3 {
        users += 1;
        ensure!(users <= 500, "no user in some region: {regions:?}");
        let first = ask(&platform.globals[0], &[]).await?;
        let home = cookie(&first, "lb-region").context("no cookie of the region")?;
        let server = cookie(&first, "lb-affinity").context("no cookie of the server")?;
        let both = format!("{home}; {server}");
        for global in platform.globals.iter().cycle().take(6) {
            let again = ask(global, &[("cookie", &both)]).await?;
            ensure!(
                again.header("x-served-by") == first.header("x-served-by"),
                "{again:?}"
            );
            ensure!(again.header("set-cookie").is_empty(), "{again:?}");
        }
        regions.insert(region(&first)?);
    }
    let labels = ["pool=\"regions\"", "result=\"kept\""];
    let kept = platform.globals[1]
        .metric("lb_affinity_total", &labels)
        .await?;
    ensure!(kept == f64::from(3 * users), "{kept} of {users}");
    Ok(())
}

#[tokio::test]
async fn forged_and_foreign_cookies_choose_nothing() -> Result<()> {
    let (platform, _dir) = start(true).await?;
    let global = &platform.globals[0];
    let first = ask(global, &[]).await?;
    let home = cookie(&first, "lb-region").context("cookie")?;
    let other = if region(&first)? == "r1" { "r2" } else { "r1" };
    let forged = home.replace(&region(&first)?, other);
    // The same secret signs both tiers' cookies; one is nothing to the other.
    let server = cookie(&first, "lb-affinity").context("cookie")?;
    let foreign = server.replace("lb-affinity=", "lb-region=");
    let mut seen = BTreeSet::new();
    for bad in [forged.as_str(), &foreign, "lb-region=r1", "lb-region=.."] {
        for _ in 0..10 {
            let answer = ask(global, &[("cookie", bad)]).await?;
            ensure!(cookie(&answer, "lb-region").is_some(), "{answer:?}");
            seen.insert(region(&answer)?);
        }
    }
    ensure!(seen.len() == 3, "it chose the region: {seen:?}");
    let bad = global
        .metric("lb_affinity_total", &["result=\"bad\""])
        .await?;
    ensure!(bad == 40.0, "{bad}");
    let why = explain(global, &forged).await?;
    ensure!(
        why.contains("sticky: the cookie is ignored: its signature does not fit"),
        "{why}"
    );
    Ok(())
}

async fn explain(global: &Replica, cookie: &str) -> Result<String> {
    let path =
        format!("/api/v1/explain?method=GET&host=e&path=/&client=127.0.0.1&header=cookie:{cookie}");
    Ok(http::get(global.admin(), &path).await?.text())
}

/// Gives a region another weight everywhere, and waits until that is live.
async fn weigh(platform: &Platform, region: &str, (old, new): (u32, u32)) -> Result<()> {
    for global in &platform.globals {
        let before = global.status().await?["config"]["generation"].clone();
        let line = |weight| format!("  - name: {region}\n    priority: 1\n    weight: {weight}\n");
        global.rewrite(|text| text.replace(&line(old), &line(new)))?;
        eventually(SOON, "the new weight", async || {
            let status = global.status().await?;
            ensure!(status["config"]["generation"] != before, "{status}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_drained_or_dead_region_binds_nobody_and_its_users_move_once() -> Result<()> {
    let (mut platform, _dir) = start(true).await?;
    let first = ask(&platform.globals[0], &[]).await?;
    let (home, value) = (
        region(&first)?,
        cookie(&first, "lb-region").context("cookie")?,
    );
    let why = explain(&platform.globals[1], &value).await?;
    let named = format!("sticky: {home} is named by the cookie");
    ensure!(why.contains(&named), "{why}");

    weigh(&platform, &home, (1, 0)).await?;
    let moved = ask(&platform.globals[1], &[("cookie", &value)]).await?;
    let (second, value) = (
        region(&moved)?,
        cookie(&moved, "lb-region").context("cookie")?,
    );
    ensure!(second != home, "{moved:?}");
    weigh(&platform, &home, (0, 1)).await?;
    for global in platform.globals.iter().cycle().take(10) {
        let again = ask(global, &[("cookie", &value)]).await?;
        ensure!(region(&again)? == second, "{again:?}");
    }

    platform.region(&second)?.kill_replicas();
    let moved = ask(&platform.globals[0], &[("cookie", &value)]).await?;
    let third = region(&moved)?;
    ensure!(third != second, "{moved:?}");
    let value = cookie(&moved, "lb-region").context("cookie")?;
    for global in platform.globals.iter().cycle().take(10) {
        let again = ask(global, &[("cookie", &value)]).await?;
        ensure!(region(&again)? == third, "{again:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_override_sends_a_request_elsewhere_and_not_its_user() -> Result<()> {
    let (platform, _dir) = start(true).await?;
    let global = &platform.globals[0];
    let first = ask(global, &[]).await?;
    let value = cookie(&first, "lb-region").context("cookie")?;
    for name in ["r1", "r2", "r3"] {
        let answer = ask(global, &[("cookie", &value), ("x-region", name)]).await?;
        ensure!(region(&answer)? == name, "{answer:?}");
        ensure!(cookie(&answer, "lb-region").is_none(), "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_region_that_refuses_a_request_lends_its_user() -> Result<()> {
    let one_each = "circuit_breaker: { max_in_flight: 1, max_pending: 0 }";
    let (platform, _dir) = start_with(true, one_each).await?;
    let global = &platform.globals[0];
    let first = ask(global, &[]).await?;
    let (home, value) = (
        region(&first)?,
        cookie(&first, "lb-region").context("cookie")?,
    );
    let full = platform.regions.iter().find(|r| r.name == home);
    let full = full.context("region")?;
    full.servers()
        .for_each(|server| server.script(|b| b.head_delay = Duration::from_secs(60)));
    let address = full.replicas[0].address();
    let hold = || tokio::spawn(async move { http::get(address, "/").await });
    let held = [hold(), hold()];
    eventually(SOON, "a full region", async || {
        let status = full.replicas[0].status().await?;
        ensure!(status["pools"][0]["inflight"] == 2, "{status}");
        Ok(())
    })
    .await?;
    let lent = ask(global, &[("cookie", &value)]).await?;
    ensure!(region(&lent)? != home, "{lent:?}");
    ensure!(cookie(&lent, "lb-region").is_none(), "{lent:?}");
    held.iter().for_each(tokio::task::JoinHandle::abort);
    full.servers()
        .for_each(|server| server.script(|b| b.head_delay = Duration::ZERO));
    eventually(SOON, "the user at home", async || {
        let again = ask(global, &[("cookie", &value)]).await?;
        ensure!(region(&again)? == home, "{again:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn without_the_section_a_user_is_in_any_region() -> Result<()> {
    let (kept, _dir) = start(true).await?;
    let first = ask(&kept.globals[0], &[]).await?;
    let value = cookie(&first, "lb-region").context("cookie")?;
    drop(kept);
    let (platform, _dir) = start(false).await?;
    let mut seen = BTreeSet::new();
    eventually(SOON, "each region", async || {
        let answer = ask(&platform.globals[0], &[("cookie", &value)]).await?;
        ensure!(cookie(&answer, "lb-region").is_none(), "{answer:?}");
        seen.insert(region(&answer)?);
        ensure!(seen.len() == 3, "the control: {seen:?}");
        Ok(())
    })
    .await
}
