//! What a route does with a share of its requests: copy, hold back, answer with an error. And zones.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use strata_tests::eventually;
use strata_tests::http::{Dial, empty};
use strata_tests::server::{Answer, Server};
use strata_tests::topology::Platform;

use crate::bed::{Bed, SOON, load, replica, server};

async fn mirrored(share: &str) -> Result<Platform> {
    let mut bed = Bed::of(2, "p2c").route(&format!("mirror: {{ pool: shadow, share: {share} }}"));
    bed.more = vec![("shadow", 1)];
    bed.start().await
}

fn shadow(platform: &Platform) -> Result<&Server> {
    platform
        .servers()
        .find(|s| s.name().contains("shadow"))
        .context("no shadow")
}

#[tokio::test]
async fn a_share_is_copied_with_its_body_and_marked() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let platform = mirrored("30%").await?;
    let load = load(&platform, 150.0).posts(0.5, 3_000);
    let report = load.run_for(Duration::from_secs(6)).await?;
    ensure!(report.failed == 0, "{report}");
    let mirrored = replica(&platform)?;
    let copies = eventually(SOON, "the last copy", async || {
        let answered = mirrored
            .metric("lb_mirrored_total", &["result=\"answered\""])
            .await?;
        let seen = shadow(&platform)?.ledger().counts().requests as f64;
        ensure!(
            answered == seen && seen > 0.0,
            "{answered} answered, {seen} seen"
        );
        Ok(seen)
    })
    .await?;
    let share = copies / report.sent as f64;
    eprintln!("30 % mirrored: {share:.3}");
    ensure!((0.24..=0.36).contains(&share), "{share}");
    let seen = shadow(&platform)?.ledger().seen();
    let posts: Vec<_> = seen.iter().filter(|s| s.method == "POST").collect();
    ensure!(!posts.is_empty() && posts.iter().all(|s| s.body_intact && s.body_bytes == 3_000));
    let attempts: Vec<_> = seen.iter().filter_map(|s| s.attempt).collect();
    ensure!(attempts.iter().all(|attempt| *attempt == 1), "{attempts:?}");
    Ok(())
}

#[tokio::test]
async fn a_copy_says_that_it_is_one_and_its_answer_is_dropped() -> Result<()> {
    let platform = mirrored("100%").await?;
    for server in platform.servers() {
        server.script(|b| b.answer = Answer::Echo);
    }
    let answer = strata_tests::http::get(platform.address()?, "/x").await?;
    ensure!(answer.header("x-served-by").contains("web"), "{answer:?}");
    ensure!(!answer.text().contains("x-lb-mirror"), "{}", answer.text());
    eventually(SOON, "the copy", async || {
        let seen = shadow(&platform)?.ledger().last().context("nothing yet")?;
        ensure!(seen.path == "/x", "{seen:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_dead_or_frozen_mirror_does_nothing_to_users() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let platform = mirrored("100%").await?;
    shadow(&platform)?.freeze();
    let report = load(&platform, 100.0)
        .run_for(Duration::from_secs(3))
        .await?;
    let frozen = (report.failed, report.p99());
    shadow(&platform)?.thaw();
    shadow(&platform)?.crash().await;
    let report = load(&platform, 100.0)
        .run_for(Duration::from_secs(3))
        .await?;
    eprintln!(
        "mirror frozen: {frozen:?}, dead: {} {:?}",
        report.failed,
        report.p99()
    );
    ensure!(frozen.0 == 0 && report.failed == 0, "{report}");
    ensure!(report.p99() < Duration::from_millis(500), "{report}");
    let lost = replica(&platform)?;
    let dropped = lost
        .metric("lb_mirrored_total", &["result=\"dropped\""])
        .await?;
    ensure!(dropped > 0.0, "a frozen mirror fills its places");
    Ok(())
}

#[tokio::test]
async fn faults_hit_their_share() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let lines =
        "fault:\n  delay: { share: 20%, time: 300ms }\n  abort: { share: 10%, status: 418 }";
    let platform = Bed::of(2, "p2c").route(lines).start().await?;
    let report = load(&platform, 200.0)
        .run_for(Duration::from_secs(6))
        .await?;
    let sent = report.sent as f64;
    let failed = report.failed as f64 / sent;
    let delayed = report
        .outcomes
        .iter()
        .filter(|o| o.latency >= Duration::from_millis(290));
    let delayed = delayed.count() as f64 / sent;
    eprintln!("aborted {failed:.3}, delayed {delayed:.3}");
    ensure!((0.07..=0.13).contains(&failed), "{report}");
    ensure!((0.15..=0.25).contains(&delayed), "{report}");
    let seen: u64 = platform
        .servers()
        .map(|s| s.ledger().counts().requests)
        .sum();
    ensure!(
        seen == report.sent - report.failed,
        "{seen} reached a server: {report}"
    );
    let aborted = replica(&platform)?
        .metric("lb_faults_injected_total", &["kind=\"abort\""])
        .await?;
    ensure!(aborted == report.failed as f64, "{aborted}");
    let states = crate::bed::states(&platform).await?;
    ensure!(states.iter().all(|s| s == "healthy"), "{states:?}");
    Ok(())
}

#[tokio::test]
async fn faults_that_ask_for_a_header_leave_others_alone() -> Result<()> {
    let lines = "fault: { header: x-drill, abort: { share: 100%, status: 503 } }";
    let platform = Bed::of(2, "p2c").route(lines).start().await?;
    let dial = Dial::http1(platform.address()?);
    for _ in 0..20 {
        ensure!(dial.get("/").await?.status == 200);
    }
    let request = http::Request::builder()
        .method(Method::GET)
        .header("x-drill", "1");
    let answer = dial.send(request.body(empty())?).await?;
    let text = answer.text();
    ensure!(
        answer.status == 503 && text.contains("fault_injected"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn the_own_zone_serves_while_it_can() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let mut bed = Bed::of(4, "p2c");
    bed.top = "zone: z1\n";
    let platform = bed.start().await?;
    let lb = replica(&platform)?;
    lb.rewrite(|text| {
        let mut text = text;
        for (server, zone) in [(1, "z1"), (2, "z1"), (3, "z2"), (4, "z2")] {
            let name = format!("name: r1-web-{server},");
            text = text.replace(&name, &format!("{name} zone: {zone},"));
        }
        text
    })?;
    eventually(SOON, "the zones", async || {
        let known = crate::bed::endpoint(&platform, 0).await?;
        ensure!(known["zone"] == "z1", "{known}");
        Ok(())
    })
    .await?;
    let report = load(&platform, 100.0)
        .run_for(Duration::from_secs(3))
        .await?;
    let far: usize = report
        .by_server()
        .iter()
        .filter(|(s, _)| s.ends_with('3') || s.ends_with('4'))
        .map(|(_, n)| n)
        .sum();
    ensure!(far == 0 && report.failed == 0, "{report}");
    server(&platform, 0)?.crash().await;
    server(&platform, 1)?.crash().await;
    // A retry leaves the zone that failed.
    let report = load(&platform, 100.0)
        .run_for(Duration::from_secs(3))
        .await?;
    ensure!(report.failed == 0, "{report}");
    Ok(())
}
