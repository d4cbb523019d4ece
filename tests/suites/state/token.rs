//! Who may write, and who may tell.

use anyhow::{Result, ensure};
use strata_tests::{eventually, http};

use crate::bed::{Bed, Plan, SOON, TOKEN, draft, post};

#[tokio::test]
async fn a_peer_with_another_token_is_named() -> Result<()> {
    let plan = Plan {
        replicas: 2,
        strange: true,
        ..Plan::default()
    };
    let bed = plan.start().await?;
    eventually(SOON, "the fault", async || {
        let status = bed.status(0).await?;
        let fault = status["faults"].to_string();
        ensure!(
            fault.contains("does not take this replica's token"),
            "{status}"
        );
        ensure!(fault.contains("admin.token_file"), "{status}");
        let denied = bed.platform.globals[0]
            .metric("lb_state_sync_total", &["denied"])
            .await?;
        ensure!(denied > 0.0, "{denied}");
        Ok(())
    })
    .await?;
    let receipt = bed.order(0, &draft("r1", "drain"), 200).await?;
    let error = receipt["peers"][0]["error"].to_string();
    ensure!(error.contains("token"), "{receipt}");
    let strange = "another-token-9876543210";
    let dial = draft("r1", "dial");
    let own = post(
        bed.platform.globals[1].admin(),
        "/api/v1/orders",
        strange,
        &dial,
    );
    ensure!(own.await?.status == 200, "it takes its own");
    Ok(())
}

#[tokio::test]
async fn writes_are_let_in_by_the_token_alone_and_told_in_the_log() -> Result<()> {
    let mut bed = Plan {
        replicas: 1,
        ..Plan::default()
    }
    .start()
    .await?;
    let admin = bed.platform.globals[0].admin();
    let order = draft("r1", "drain");
    let wrong = post(
        admin,
        "/api/v1/orders",
        "a-token-of-the-tests-012345678x",
        &order,
    )
    .await?;
    ensure!(wrong.status == 401, "{}", wrong.text());
    let none = http::post(admin, "/api/v1/orders", order.to_string()).await?;
    ensure!(none.status == 403, "{}", none.text());
    let state = http::get(admin, "/api/v1/state").await?;
    ensure!(state.status == 401, "{}", state.text());
    let regional = bed.platform.regions[0].replicas[0].admin();
    let closed = post(regional, "/api/v1/orders", TOKEN, &order).await?;
    ensure!(
        closed.status == 403 && closed.text().contains("admin.token_file"),
        "{}",
        closed.text()
    );
    bed.order(0, &order, 200).await?;
    let log = bed.replica(0).output();
    for part in [
        "audit] POST /api/v1/orders by \"-\" from 127.",
        "401 \"the token is wrong\"",
        "by \"ada\" from 127.",
        "200 \"drain region/r1: version 1, durable, peers 0/0\"",
    ] {
        ensure!(log.contains(part), "{part}: {log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_file_that_others_may_read_ends_the_start() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut bed = Bed::start().await?;
    let file = bed.dir.path().join("token");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644))?;
    let order = draft("r1", "drain");
    let open = post(
        bed.platform.globals[0].admin(),
        "/api/v1/orders",
        TOKEN,
        &order,
    );
    let open = open.await?;
    ensure!(
        open.status == 503 && open.text().contains("chmod 600"),
        "{}",
        open.text()
    );
    let replica = bed.replica(0);
    ensure!(replica.restart().await.is_err());
    let log = replica.output();
    ensure!(log.contains("chmod 600"), "{log}");
    Ok(())
}
