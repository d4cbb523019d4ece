//! Files of the global tier. A scripted server stands for each replica, and another for its admin listener.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::http::{Dial, full};

use crate::stage::{run, served_by};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_second_region_takes_over() -> Result<()> {
    let stage = run("global.yaml", |_| Ok(())).await?;
    for _ in 0..10 {
        let port = stage.port_for("any.example", "/", &[]).await?;
        ensure!(port == 8081 || port == 8082, "the first region: {port}");
    }
    for port in [8081, 8082, 9901, 9902] {
        stage.server(port)?.crash().await;
    }
    for _ in 0..10 {
        ensure!(stage.port_for("any.example", "/", &[]).await? == 8083);
    }
    for port in [8081, 8082, 9901, 9902] {
        stage.server(port)?.reopen().await?;
    }
    eventually(SOON * 3, "the first region again", async || {
        let port = stage.port_for("any.example", "/", &[]).await?;
        ensure!(port != 8083, "still the second");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_nearest_region_serves_within_what_is_allowed() -> Result<()> {
    let stage = run("examples/geo.yaml", |_| Ok(())).await?;
    let near = |place: &'static str| [("x-client-location", place)];
    ensure!(stage.port_for("e", "/", &near("52.5,13.4")).await? == 8081);
    ensure!(stage.port_for("e", "/", &near("60.2,24.9")).await? == 8082);
    ensure!(stage.port_for("e", "/", &near("40.7,-74.0")).await? == 8083);
    let from = |address: &'static str| [("x-forwarded-for", address)];
    ensure!(stage.port_for("e", "/", &from("198.51.100.7")).await? == 8083);
    ensure!(stage.port_for("e", "/", &from("192.0.2.7")).await? == 8081);
    let kept = stage
        .port_for("e", "/accounts/7", &near("40.7,-74.0"))
        .await?;
    ensure!(kept == 8081 || kept == 8082, "data left the union: {kept}");
    Ok(())
}

#[tokio::test]
async fn weights_and_allowed_regions_hold() -> Result<()> {
    let stage = run("examples/multi-region-weighted.yaml", |_| Ok(())).await?;
    let mut counts: BTreeMap<u16, u32> = BTreeMap::new();
    for _ in 0..600 {
        *counts
            .entry(stage.port_for("e", "/", &[]).await?)
            .or_default() += 1;
    }
    let sum = |ports: &[u16]| ports.iter().filter_map(|p| counts.get(p)).sum::<u32>();
    let (eu, us, canary) = (sum(&[8081, 8082]), sum(&[8083, 8084]), sum(&[8085]));
    // Five standard deviations around 60, 35 and 5 per cent of 600.
    ensure!(
        (300..=420).contains(&eu) && (150..=270).contains(&us),
        "{counts:?}"
    );
    ensure!(
        (4..=57).contains(&canary) && sum(&[8086]) == 0,
        "{counts:?}"
    );
    for _ in 0..10 {
        ensure!(stage.port_for("e", "/reports/1", &[]).await? == 8086);
    }
    Ok(())
}

#[tokio::test]
async fn the_cookie_keeps_a_user_in_a_region() -> Result<()> {
    let stage = run("examples/region-affinity.yaml", |dir| {
        Ok(std::fs::write(
            dir.join("secret"),
            "sixteen characters or more",
        )?)
    })
    .await?;
    let first = stage.get("e", "/", &[]).await?;
    let field = first.header("set-cookie");
    let cookie = field.split(';').next().unwrap_or_default().to_owned();
    ensure!(cookie.starts_with("shop-region="), "{field}");
    let mut anywhere = BTreeSet::new();
    for _ in 0..20 {
        let again = stage.get("e", "/", &[("cookie", &cookie)]).await?;
        ensure!(served_by(&again)? == served_by(&first)?, "{again:?}");
        let fields = [("cookie", cookie.as_str())];
        anywhere.insert(stage.port_for("e", "/static/a", &fields).await?);
    }
    ensure!(anywhere.len() == 2, "the control: {anywhere:?}");
    Ok(())
}

#[tokio::test]
async fn an_order_is_taken_and_kept_in_the_directory() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let token = "0123456789abcdef0123456789abcdef";
    let stage = run("examples/shared-orders.yaml", |dir| {
        let file = dir.join("tokens");
        std::fs::write(&file, token)?;
        Ok(std::fs::set_permissions(
            &file,
            PermissionsExt::from_mode(0o600),
        )?)
    })
    .await?;
    let order = r#"{"scope":{"region":"eu"},"action":"drain","reason":"power work","actor":"ada"}"#;
    let request = http::Request::post("/api/v1/orders")
        .header("authorization", format!("Bearer {token}"))
        .header("x-lb-request", "1");
    let answer = Dial::http1(stage.admin)
        .send(request.body(full(order))?)
        .await?;
    ensure!(answer.status == 200, "{}", answer.text());
    let receipt = answer.json()?;
    ensure!(receipt["durable"] == true, "{receipt}");
    Ok(())
}
