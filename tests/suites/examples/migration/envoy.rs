//! Envoy, in front of two regions; ours are a global and two regional replicas.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::process::Launch;
use strata_tests::tools;

use super::page::metrics;
use super::pair::{Ours, Pair, SOON, Theirs, get};

/// Envoy as the benchmark installs it, installed by the same script where it is not there yet.
async fn program() -> Result<PathBuf> {
    let target = tools::target_dir()?;
    let peers = target.join("peers");
    let program = peers.join("bin/envoy");
    std::fs::create_dir_all(&peers)?;
    let lock = File::create(peers.join("lock"))?;
    let _lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    if !program.is_file() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/install-peers.sh");
        let launch = Launch::new("install-peers", script);
        let launch = launch.env("CARGO_TARGET_DIR", target.to_string_lossy());
        launch.run_ok(Duration::from_secs(300)).await?;
    }
    Ok(program)
}

async fn start() -> Result<Pair> {
    let envoy = program().await?;
    Pair::start("envoy", "envoy.yaml", |dir, file| {
        let launch = Launch::new("envoy", envoy).dir(dir).args(["-c"]).arg(file);
        let quiet = ["--concurrency", "1", "--disable-hot-restart", "-l", "warn"];
        Ok(launch.args(quiet))
    })
    .await
}

#[tokio::test]
async fn the_same_requests_have_the_same_effect() -> Result<()> {
    let pair = start().await?;
    let shop = |path| get("shop.example", path).with("x-internal-user", "root");
    let plain = pair.same(&shop("/cart?item=7")).await?;
    ensure!(plain.status == 200 && plain.pool == "shop", "{plain:?}");
    ensure!(plain.frame_options == "DENY", "{plain:?}");
    ensure!(!plain.fields.contains_key("x-internal-user"), "{plain:?}");
    pair.same(&shop("/cart").post(1000)).await?;
    ensure!(pair.same(&shop("/images/a.png")).await?.pool == "images");
    ensure!(pair.same(&shop("/imagesque")).await?.pool == "shop");
    for (path, rewritten) in [("/v1/users?q=1", "/users?q=1"), ("/v1", "/")] {
        let api = pair.same(&get("api.example", path)).await?;
        ensure!(api.seen.is_some_and(|seen| seen.1 == rewritten), "{path}");
    }
    for ask in [get("api.example", "/v2"), get("other.example", "/")] {
        ensure!(pair.same(&ask).await?.status == 404);
    }
    let www = pair.same(&get("www.shop.example", "/a?b=c")).await?;
    ensure!(www.status == 301 && www.location == "http://shop.example/a?b=c");
    let old = pair.same(&get("old.example", "/")).await?;
    ensure!(old.status == 308 && old.location == "https://shop.example/welcome");
    pair.upgrades_pass("shop.example", "/chat").await?;
    let theirs = metrics("envoy")?;
    ensure!(theirs.len() > 4, "{theirs:?}");
    pair.metrics("/stats/prometheus", &theirs, "lb_region_state")
        .await
}

#[tokio::test]
async fn the_server_name_chooses_the_certificate() -> Result<()> {
    let pair = start().await?;
    for ask in [get("shop.example", "/"), get("api.example", "/v1/x")] {
        let theirs = pair.ask_by_tls(Theirs, &ask).await?.outcome;
        let ours = pair.ask_by_tls(Ours, &ask).await?.outcome;
        ensure!(
            theirs.status == 200 && ours.status == 200,
            "{theirs:?} {ours:?}"
        );
        let proto = ours.fields.get("x-forwarded-proto");
        ensure!(proto == theirs.fields.get("x-forwarded-proto"), "{ours:?}");
        ensure!(proto.is_some_and(|proto| proto == "https"), "{ours:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_canary_gets_its_share() -> Result<()> {
    let pair = start().await?;
    let plain = get("shop.example", "/");
    let canary = plain.clone().with("x-canary", "always");
    for side in [Theirs, Ours] {
        let share = pair.share(side, &plain, 9003, 300).await?;
        ensure!((4..=56).contains(&share), "{side:?}: {share}");
        ensure!(pair.share(side, &canary, 9003, 10).await? == 10, "{side:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_user_stays_on_a_server() -> Result<()> {
    let pair = start().await?;
    let users: Vec<_> = (0..20)
        .map(|n| get("shop.example", "/images/a").with("x-user", &format!("user-{n}")))
        .collect();
    pair.sticks(Theirs, &users, 2).await?;
    pair.sticks(Ours, &users, 2).await
}

#[tokio::test]
async fn orders_are_copied() -> Result<()> {
    let pair = start().await?;
    for side in [Theirs, Ours] {
        let shadow = pair.server(9007)?;
        shadow.ledger().clear();
        pair.ask(side, &get("shop.example", "/orders/7")).await?;
        eventually(SOON, "a copy", async || {
            let copy = shadow.ledger().last();
            ensure!(
                copy.is_some_and(|copy| copy.path == "/orders/7"),
                "{side:?}"
            );
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_server_is_not_noticed() -> Result<()> {
    let pair = start().await?;
    pair.server(9001)?.crash().await;
    let orders = get("shop.example", "/orders");
    let ours = pair.statuses(Ours, &orders, 20).await?;
    ensure!(ours == [200; 20], "{ours:?}");
    // Envoy's choice for the retry is random again, and after three rejected ones it takes the dead server.
    let theirs = pair.statuses(Theirs, &orders, 20).await?;
    let served = theirs.iter().filter(|status| **status == 200).count();
    ensure!(served >= 10, "{theirs:?}");
    pair.server(9001)?.reopen().await
}

#[tokio::test]
async fn the_other_region_takes_over() -> Result<()> {
    let pair = start().await?;
    let orders = get("shop.example", "/orders");
    for port in [9001, 9002] {
        pair.server(port)?.crash().await;
    }
    eventually(SOON, "us serves", async || {
        for side in [Theirs, Ours] {
            let told = pair.ask(side, &orders).await?.outcome;
            ensure!(
                told.status == 200 && told.pool == "shop in us",
                "{side:?}: {told:?}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_rate_is_the_same() -> Result<()> {
    let pair = start().await?;
    let api = get("api.example", "/v1/users");
    for side in [Theirs, Ours] {
        let statuses = pair.statuses(side, &api, 7).await?;
        ensure!(
            statuses == [200, 200, 200, 200, 200, 200, 429],
            "{side:?}: {statuses:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_differs() -> Result<()> {
    let pair = start().await?;
    // Envoy appends to whatever a client says of itself; ours drops it first.
    let forged = get("shop.example", "/").with("x-forwarded-for", "203.0.113.9");
    for (side, is_kept) in [(Theirs, true), (Ours, false)] {
        let seen = pair.ask(side, &forged).await?.outcome.fields;
        let seen = seen.get("x-forwarded-for").cloned().unwrap_or_default();
        ensure!(seen.contains("203.0.113.9") == is_kept, "{side:?}: {seen}");
    }
    // A whole pool that answers 503: Envoy passes the second 503 on, ours asks the other region.
    let orders = get("shop.example", "/orders");
    let servers = [9001, 9002];
    ensure!(pair.tries(Theirs, &orders, &servers).await? == (503, 2));
    ensure!(pair.tries(Ours, &orders, &servers).await? == (200, 2));
    // Envoy repeats a POST that a server answered with 503, ours never does.
    let post = orders.post(9);
    ensure!(pair.tries(Theirs, &post, &servers).await? == (503, 2));
    ensure!(pair.tries(Ours, &post, &servers).await? == (503, 1));
    Ok(())
}
