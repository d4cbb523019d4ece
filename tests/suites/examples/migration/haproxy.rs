//! HAProxy.

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::tools::Tool;

use super::page::metrics;
use super::pair::{Ours, Pair, SOON, Theirs, get};

async fn start() -> Result<Pair> {
    start_with("haproxy.cfg").await
}

async fn start_with(file: &str) -> Result<Pair> {
    Pair::start("haproxy", file, |dir, file| {
        let launch = Tool::Haproxy.launch()?.dir(dir);
        Ok(launch.args(["-db", "-f"]).arg(file))
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
    let canary = get("shop.example", "/").with("x-canary", "always");
    pair.same(&canary).await?;
    for side in [Theirs, Ours] {
        ensure!(pair.share(side, &canary, 9003, 5).await? == 5);
    }
    for (path, rewritten) in [("/v1/users?q=1", "/users?q=1"), ("/v1", "/")] {
        let ask = get("api.example", path).with("x-api-key", "table");
        let api = pair.same(&ask).await?;
        ensure!(api.seen.is_some_and(|seen| seen.1 == rewritten), "{path}");
    }
    for ask in [get("api.example", "/v2"), get("other.example", "/")] {
        ensure!(pair.same(&ask).await?.status == 404);
    }
    let www = pair.same(&get("www.shop.example", "/a?b=c")).await?;
    ensure!(www.status == 301 && www.location == "http://shop.example/a?b=c");
    let old = pair.same(&get("old.example", "/")).await?;
    ensure!(old.status == 302 && old.location == "https://shop.example/welcome");
    pair.upgrades_pass("shop.example", "/chat").await?;
    let theirs = metrics("haproxy")?;
    ensure!(theirs.len() > 4, "{theirs:?}");
    pair.metrics("/metrics", &theirs, "lb_server_state").await
}

#[tokio::test]
async fn the_server_name_chooses_the_certificate() -> Result<()> {
    let pair = start().await?;
    for ask in [get("shop.example", "/"), get("api.example", "/v1/x")] {
        let theirs = pair.ask_by_tls(Theirs, &ask).await?.outcome;
        let ours = pair.ask_by_tls(Ours, &ask).await?.outcome;
        ensure!(theirs == ours && ours.status == 200, "{theirs:?} {ours:?}");
        let proto = ours.fields.get("x-forwarded-proto");
        ensure!(proto.is_some_and(|proto| proto == "https"), "{ours:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_cookie_keeps_a_user_until_the_server_dies() -> Result<()> {
    let pair = start().await?;
    for side in [Theirs, Ours] {
        let first = pair.ask(side, &get("shop.example", "/")).await?;
        ensure!(first.cookie.starts_with("SHOP="), "{side:?}: {first:?}");
        let user = get("shop.example", "/").with("cookie", &first.cookie);
        for _ in 0..10 {
            let again = pair.ask(side, &user).await?;
            ensure!(again.port == first.port, "{side:?} moved: {again:?}");
            ensure!(again.cookie.is_empty(), "{side:?}: set again: {again:?}");
            // `indirect` hides it from the server, ours lets it pass.
            ensure!(again.all.contains("SHOP=") == (side == Ours), "{again:?}");
        }
        let server = pair.server(first.port)?;
        server.crash().await;
        // `option redispatch`: another one answers, and takes the user over.
        let moved = pair.ask(side, &user).await?;
        ensure!(moved.outcome.status == 200, "{side:?}: {moved:?}");
        ensure!(moved.port != first.port, "{side:?}: {moved:?}");
        server.reopen().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_server_is_not_noticed() -> Result<()> {
    let pair = start().await?;
    pair.server(9001)?.crash().await;
    for _ in 0..20 {
        ensure!(pair.same(&get("shop.example", "/")).await?.status == 200);
    }
    pair.server(9001)?.reopen().await
}

#[tokio::test]
async fn what_may_have_had_an_effect_is_not_repeated() -> Result<()> {
    let pair = start().await?;
    let shop = get("shop.example", "/");
    for side in [Theirs, Ours] {
        let servers = [9001, 9002, 9003];
        let tries = pair.tries(side, &shop, &servers).await?;
        ensure!(tries == (503, 2), "{side:?}: {tries:?}");
        let tries = pair.tries(side, &shop.clone().post(9), &servers).await?;
        ensure!(tries == (503, 1), "{side:?}: {tries:?}");
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
async fn each_key_has_its_rate() -> Result<()> {
    let pair = start().await?;
    let ask = |key| get("api.example", "/v1/x").with("x-api-key", key);
    for side in [Theirs, Ours] {
        let statuses = pair.statuses(side, &ask("one"), 7).await?;
        ensure!(statuses == [200, 200, 200, 200, 200, 200, 429], "{side:?}");
        ensure!(pair.statuses(side, &ask("two"), 1).await? == [200]);
    }
    Ok(())
}

#[tokio::test]
async fn what_differs() -> Result<()> {
    let pair = start().await?;
    // HAProxy appends to whatever a client says of itself; ours drops it first.
    let forged = get("shop.example", "/").with("x-forwarded-for", "203.0.113.9");
    for (side, wanted) in [(Theirs, "203.0.113.9,127.0.0.1"), (Ours, "127.0.0.1")] {
        let seen = pair.ask(side, &forged).await?.outcome.fields;
        let seen = seen.get("x-forwarded-for").cloned().unwrap_or_default();
        ensure!(seen == wanted, "{side:?}: {seen}");
    }
    // Without the key HAProxy counts nothing; ours then counts the client's address.
    let nobody = get("api.example", "/v1/x");
    let theirs = pair.statuses(Theirs, &nobody, 8).await?;
    ensure!(theirs == [200; 8], "{theirs:?}");
    let ours = pair.statuses(Ours, &nobody, 7).await?;
    ensure!(ours.last() == Some(&429), "{ours:?}");
    // A redirect to a path keeps the query here.
    let old = get("old.example", "/a?b=c");
    let theirs = pair.ask(Theirs, &old).await?.outcome.location;
    let ours = pair.ask(Ours, &old).await?.outcome.location;
    ensure!(theirs == "https://shop.example/welcome", "{theirs}");
    ensure!(ours == "https://shop.example/welcome?b=c", "{ours}");
    // All servers down by their checks: HAProxy refuses by itself, ours sends on (panic threshold).
    for port in [9004, 9005] {
        use strata_tests::server::Health;
        pair.server(port)?.script(|b| b.health = Health::Fail(500));
    }
    let image = get("shop.example", "/images/a");
    eventually(SOON, "HAProxy takes both servers out", async || {
        let told = pair.ask(Theirs, &image).await?.outcome;
        ensure!(told.status == 503 && told.seen.is_none(), "{told:?}");
        Ok(())
    })
    .await?;
    let told = pair.ask(Ours, &image).await?.outcome;
    ensure!(told.status == 200, "{told:?}");
    Ok(())
}

/// The step of the migration in which the old one sends.
#[tokio::test]
async fn a_tenth_goes_over_and_comes_back() -> Result<()> {
    let mut pair = start_with("shift.cfg").await?;
    let shop = get("shop.example", "/");
    let (mut shifted, mut stayed) = (0, 0);
    for _ in 0..300 {
        let told = pair.ask(Theirs, &shop).await?;
        ensure!(told.outcome.status == 200, "{told:?}");
        if told.all.contains(r#"["via","#) {
            // HAProxy is believed: the client is still first, and HAProxy itself follows.
            let chain = told.outcome.fields.get("x-forwarded-for");
            ensure!(
                chain.is_some_and(|c| c == "127.0.0.1,127.0.0.1"),
                "{told:?}"
            );
            shifted += 1;
        } else {
            stayed += 1;
        }
    }
    ensure!(
        (4..=56).contains(&shifted),
        "{shifted} over, {stayed} stayed"
    );
    pair.kill_ours();
    let mut in_a_row = 0;
    eventually(SOON, "all stay with HAProxy", async || {
        let status = pair.ask(Theirs, &shop).await?.outcome.status;
        in_a_row = if status == 200 { in_a_row + 1 } else { 0 };
        ensure!(in_a_row > 100, "{in_a_row} in a row");
        Ok(())
    })
    .await
}
