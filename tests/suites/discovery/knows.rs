//! Whether a replica that starts knows whom to send requests to.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::kube::{Fault, User, Verb};
use strata_tests::process::Process;
use strata_tests::{eventually, http, steadily};

use crate::bed::{Bed, NAMESPACE, SLICES, SOON, Setup, launch};

/// Longer than the first probes are waited for.
const BEYOND_GRACE: Duration = Duration::from_secs(8);
/// Longer than anybody waits for servers.
const BEYOND_PATIENCE: Duration = Duration::from_secs(80);

/// A sister of the bed's replica, which asks `peers` who they are.
fn sister(
    bed: &Bed,
    name: &str,
    services: &str,
    admin: SocketAddr,
    peers: &[SocketAddr],
) -> Result<Process> {
    let setup = Setup {
        discover: format!("services: [{{ name: {services} }}]"),
        extra: format!(
            "peers: {:?}\n",
            peers.iter().map(ToString::to_string).collect::<Vec<_>>()
        ),
        ..Setup::default()
    };
    let text = setup.text(name, strata_tests::ports::free()?, admin);
    launch(name, bed.dir.path(), &text)
}

async fn is_unready(admin: SocketAddr, why: &str) -> Result<()> {
    let ready = http::get(admin, "/readyz?verbose").await?;
    let text = ready.text();
    ensure!(
        ready.status == 503 && text.contains("the servers of pool app") && text.contains(why),
        "{} {text}",
        ready.status
    );
    Ok(())
}

#[tokio::test]
async fn a_replica_that_may_not_list_is_not_ready_while_a_sister_knows() -> Result<()> {
    let mut bed = Bed::start(2).await?;
    bed.until(&[1, 2]).await?;
    // Its RoleBinding is deleted, and a rollout goes on.
    bed.api.allow("x", User::new("lb", NAMESPACE, &SLICES, &[]));
    let admin = strata_tests::ports::free()?;
    let mut second = sister(&bed, "r2", "web", admin, &[bed.admin])?;
    second.wait_http(admin, "/livez", 200, SOON).await?;
    eventually(SOON, "word of it", async || {
        is_unready(admin, "(403)").await
    })
    .await?;
    steadily(BEYOND_GRACE, "not being ready", async || {
        is_unready(admin, "(403)").await?;
        bed.answering().await?;
        Ok(())
    })
    .await?;
    // The control: with its right it knows, and is ready.
    let verbs = [Verb::Get, Verb::List, Verb::Watch];
    bed.api
        .allow("x", User::new("lb", NAMESPACE, &SLICES, &verbs));
    second.wait_http(admin, "/readyz", 200, SOON * 2).await?;
    let pools = http::get(admin, "/api/v1/pools").await?.json()?;
    ensure!(pools[0]["total"] == 2, "{pools}");
    bed.process.terminate(SOON).await?;
    Ok(())
}

#[tokio::test]
async fn without_a_sister_that_knows_replicas_wait_and_then_serve_what_they_have() -> Result<()> {
    let setup = Setup {
        wait: false,
        extra: String::new(),
        ..Setup::default()
    };
    let mut bed = Bed::start_with(1, setup, async |api| {
        api.fault(None, Fault::Status(500, None));
        Ok(())
    })
    .await?;
    // Two that know nothing don't keep each other out, and one that has given up keeps nobody out.
    let (two, three) = (strata_tests::ports::free()?, strata_tests::ports::free()?);
    let mut second = sister(&bed, "r2", "web", two, &[bed.admin, three])?;
    let mut third = sister(&bed, "r3", "web", three, &[bed.admin, two])?;
    for (process, admin) in [(&mut second, two), (&mut third, three)] {
        process.wait_http(admin, "/livez", 200, SOON).await?;
    }
    let all = [bed.admin, two, three];
    steadily(BEYOND_GRACE, "not being ready", async || {
        for admin in all {
            is_unready(admin, "").await?;
        }
        Ok(())
    })
    .await?;
    bed.process
        .wait_http(bed.admin, "/readyz", 200, BEYOND_PATIENCE)
        .await?;
    second.wait_http(two, "/readyz", 200, SOON).await?;
    third.wait_http(three, "/readyz", 200, SOON).await?;
    let answer = http::get(bed.address, "/").await?;
    ensure!(answer.status == 503, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_nobody_is_there_ends_the_wait() -> Result<()> {
    let bed = Bed::start(1).await?;
    bed.until(&[1]).await?;
    let admin = strata_tests::ports::free()?;
    let mut second = sister(&bed, "r2", "nobody", admin, &[bed.admin])?;
    second.wait_http(admin, "/readyz", 200, SOON).await
}
