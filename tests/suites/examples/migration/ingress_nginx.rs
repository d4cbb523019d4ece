//! ingress-nginx, as a plain nginx with what the controller renders.

use anyhow::{Result, ensure};
use strata_tests::http::Dial;
use strata_tests::tools::Tool;

use super::pair::{Ours, Pair, Theirs, get, original};

async fn start() -> Result<Pair> {
    Pair::start("ingress-nginx", "nginx.conf", |dir, file| {
        let launch = Tool::Nginx.launch()?.args(["-e", "stderr", "-p"]);
        let launch = launch.arg(dir).args(["-c"]).arg(file);
        Ok(launch.args(["-g", "daemon off; master_process off;"]))
    })
    .await
}

#[tokio::test]
async fn the_same_requests_have_the_same_effect() -> Result<()> {
    let pair = start().await?;
    let shop = |path| get("shop.example", path).with("x-canary", "never");
    let plain = pair.same(&shop("/cart?item=7")).await?;
    ensure!(plain.status == 200 && plain.pool == "shop", "{plain:?}");
    ensure!(plain.frame_options == "DENY", "{plain:?}");
    ensure!(plain.fields.get("x-tenant").is_some_and(|v| v == "blue"));
    pair.same(&shop("/cart").post(1000)).await?;
    // Neither believes what a client says of itself.
    let forged = pair
        .same(&shop("/").with("x-forwarded-for", "203.0.113.9"))
        .await?;
    let seen = forged.fields.get("x-forwarded-for");
    ensure!(seen.is_some_and(|seen| seen == "127.0.0.1"), "{forged:?}");
    ensure!(pair.same(&get("shop.example", "/images/a.png")).await?.pool == "images");
    ensure!(pair.same(&shop("/imagesque")).await?.pool == "shop");
    for (path, rewritten) in [("/v1/users?q=1", "/users?q=1"), ("/v1", "/")] {
        let api = pair.same(&get("api.example", path)).await?;
        ensure!(api.seen.is_some_and(|seen| seen.1 == rewritten), "{path}");
    }
    for ask in [get("api.example", "/v2"), get("other.example", "/")] {
        ensure!(pair.same(&ask).await?.status == 404);
    }
    let www = pair.same(&get("www.shop.example", "/a?b=c")).await?;
    ensure!(www.status == 308 && www.location == "http://shop.example/a?b=c");
    let old = pair.same(&get("old.example", "/")).await?;
    ensure!(old.status == 301 && old.location == "https://shop.example/welcome");
    pair.upgrades_pass("shop.example", "/chat").await?;
    let active = ["Active connections".to_owned()];
    pair.metrics("/nginx_status", &active, "lb_requests_total")
        .await
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() -> Result<()> {
    let pair = start().await?;
    let long = get("shop.example", "/upload").with("x-canary", "never");
    ensure!(pair.same(&long.clone().post(1_000_000)).await?.status == 200);
    // nginx edits what it says itself too (`always`); ours edits what servers say.
    for (side, frame_options) in [(Theirs, "DENY"), (Ours, "")] {
        let told = pair.ask(side, &long.clone().post(1_100_000)).await?.outcome;
        ensure!(told.status == 413 && told.seen.is_none(), "{told:?}");
        ensure!(told.frame_options == frame_options, "{side:?}: {told:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_server_name_chooses_the_certificate() -> Result<()> {
    let pair = start().await?;
    for ask in [
        get("shop.example", "/").with("x-canary", "never"),
        get("api.example", "/v1/x"),
    ] {
        let theirs = pair.ask_by_tls(Theirs, &ask).await?.outcome;
        let ours = pair.ask_by_tls(Ours, &ask).await?.outcome;
        ensure!(theirs == ours && ours.status == 200, "{theirs:?} {ours:?}");
        let proto = ours.fields.get("x-forwarded-proto");
        ensure!(proto.is_some_and(|proto| proto == "https"), "{ours:?}");
    }
    // `ssl-redirect` is a process of its own here.
    let plain = Dial::http1(pair.at(8082)?);
    let told = pair.ask_at(plain, &get("shop.example", "/a?b")).await?;
    ensure!(told.outcome.status == 308 && told.outcome.location == "https://shop.example/a?b");
    Ok(())
}

#[tokio::test]
async fn a_dead_server_is_not_noticed() -> Result<()> {
    let pair = start().await?;
    let shop = get("shop.example", "/").with("x-canary", "never");
    pair.server(9001)?.crash().await;
    for _ in 0..20 {
        ensure!(pair.same(&shop).await?.status == 200);
    }
    pair.server(9001)?.reopen().await
}

#[tokio::test]
async fn what_may_have_had_an_effect_is_not_repeated() -> Result<()> {
    let pair = start().await?;
    let shop = get("shop.example", "/").with("x-canary", "never");
    for side in [Theirs, Ours] {
        let tries = pair.tries(side, &shop, &[9001, 9002]).await?;
        ensure!(tries == (503, 2), "{side:?}: {tries:?}");
        let tries = pair
            .tries(side, &shop.clone().post(9), &[9001, 9002])
            .await?;
        ensure!(tries == (503, 1), "{side:?}: {tries:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_canary_gets_its_share() -> Result<()> {
    let pair = start().await?;
    let plain = get("shop.example", "/");
    for side in [Theirs, Ours] {
        let share = pair.share(side, &plain, 9003, 300).await?;
        // Ours is exact; nginx draws: five standard deviations around a tenth of 300.
        let expected = if side == Ours { 29..=31 } else { 4..=56 };
        ensure!(expected.contains(&share), "{side:?}: {share}");
        for (value, hits) in [("always", 10), ("never", 0)] {
            let ask = plain.clone().with("x-canary", value);
            ensure!(pair.share(side, &ask, 9003, 10).await? == hits, "{side:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_image_stays_on_its_server() -> Result<()> {
    let pair = start().await?;
    let images: Vec<_> = (0..20)
        .map(|n| get("shop.example", &format!("/images/{n}.png?size=1")))
        .collect();
    pair.sticks(Theirs, &images, 2).await?;
    pair.sticks(Ours, &images, 2).await
}

#[tokio::test]
async fn what_differs() -> Result<()> {
    let pair = start().await?;
    // Refused for its rate: 503 there unless `limit-req-status-code` is set, 429 here; as many pass.
    let api = get("api.example", "/v1/users");
    for (side, refused) in [(Theirs, 503), (Ours, 429)] {
        let statuses = pair.statuses(side, &api, 8).await?;
        let mut wanted = vec![200; 7];
        wanted.push(refused);
        ensure!(statuses == wanted, "{side:?}: {statuses:?}");
    }
    // A redirect to a path keeps the query here.
    let old = get("old.example", "/a?b=c");
    let theirs = pair.ask(Theirs, &old).await?.outcome.location;
    let ours = pair.ask(Ours, &old).await?.outcome.location;
    ensure!(theirs == "https://shop.example/welcome", "{theirs}");
    ensure!(ours == "https://shop.example/welcome?b=c", "{ours}");
    // A regular expression of ingress-nginx does not care about case, a prefix here does.
    let upper = get("api.example", "/V1/users");
    ensure!(pair.ask(Ours, &upper).await?.outcome.status == 404);
    // Fields that nginx writes and we don't, and the reverse.
    let shop = get("shop.example", "/").with("x-canary", "never");
    for (name, theirs, ours) in [
        ("x-real-ip", true, false),
        ("x-forwarded-host", true, false),
        ("x-request-id", true, true),
        ("via", false, true),
        ("traceparent", false, true),
    ] {
        for (side, wanted) in [(Theirs, theirs), (Ours, ours)] {
            let all = pair.ask(side, &shop).await?.all;
            let has = all.contains(&format!("[\"{name}\","));
            ensure!(has == wanted, "{side:?} {name}: {all}");
        }
    }
    Ok(())
}

/// What the Ingress says is what the nginx file does.
#[test]
fn every_annotation_is_in_the_table() -> Result<()> {
    let ingress = std::fs::read_to_string(original("ingress-nginx", "ingress.yaml"))?;
    let page = super::page::text()?;
    for line in ingress.lines() {
        let annotation = line.trim().strip_prefix("nginx.ingress.kubernetes.io/");
        if let Some((name, _)) = annotation.and_then(|line| line.split_once(':')) {
            ensure!(page.contains(&format!("`{name}")), "{name} is not told");
        }
    }
    Ok(())
}
