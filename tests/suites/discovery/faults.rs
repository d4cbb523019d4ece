//! An API server that is away, late, wrong or new: what is known stays, and what is true comes through.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use strata_tests::kube::{Fault, User, Verb};
use strata_tests::{eventually, http, steadily};
use tokio::time::Instant;

use crate::bed::{Bed, Is, NAMESPACE, SLICES, SOON, Setup, slice};

/// How late a test may notice something.
const APPROX: Duration = Duration::from_millis(300);

/// All is well before, the known servers serve while `wrong`, and what changed meanwhile is found after.
async fn survives(what: &str, wrong: impl AsyncFn(&Bed) -> Result<()>) -> Result<()> {
    let bed = Bed::start(3).await?;
    bed.until(&[1, 2, 3]).await?;
    wrong(&bed).await?;
    bed.say(1, Is::Unready)?;
    let faults = Duration::from_millis(1500);
    steadily(faults, what, async || {
        bed.answering().await?;
        Ok(())
    })
    .await?;
    bed.api.heal();
    bed.until(&[2, 3]).await?;
    // The control: nothing is held back that is known.
    bed.say(2, Is::Unready)?;
    bed.until(&[3]).await
}

#[tokio::test]
async fn wrong_answers_change_nothing() -> Result<()> {
    for fault in [
        Fault::Status(500, None),
        Fault::Garbage,
        Fault::Truncated,
        Fault::Hang,
    ] {
        survives(&format!("{fault:?}"), async |bed| {
            bed.api.fault(None, fault.clone());
            bed.api.drop_watches(true);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn watches_that_break_or_are_too_old_lead_to_a_new_list() -> Result<()> {
    let bed = Bed::start(3).await?;
    bed.until(&[1, 2, 3]).await?;
    for (turn, number) in [1, 2, 1, 2].into_iter().enumerate() {
        let lists = bed.api.asked(Verb::List);
        match turn {
            // In the middle of an object.
            0 => bed.api.drop_watches(true),
            // 410 where the watch begins again, and as an event in the middle of one.
            1 | 2 => {
                bed.api.drop_watches(turn == 1);
                bed.say(number, Is::Unready)?;
                bed.api.compact();
            }
            // Versions begin anew, far below those that are known.
            _ => bed.api.begin_anew(),
        }
        bed.say(number, Is::Unready)?;
        let others: Vec<usize> = (1..=3).filter(|other| *other != number).collect();
        bed.until(&others).await?;
        // A stream may have told of the change before it broke.
        let what = format!("a new list in turn {turn}");
        eventually(SOON, &what, async || {
            ensure!(bed.api.asked(Verb::List) > lists);
            Ok(())
        })
        .await?;
        bed.say(number, Is::Ready)?;
        bed.until(&[1, 2, 3]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_is_away_leaves_all_as_it_is_and_ages() -> Result<()> {
    let bed = Bed::start(2).await?;
    bed.until(&[1, 2]).await?;
    bed.api.stop().await;
    let stamp = "lb_discovery_last_sync_timestamp_seconds";
    eventually(SOON, "the stream's end", async || {
        let output = bed.process.output();
        ensure!(output.contains("EndpointSlices of pool app:"), "{output}");
        Ok(())
    })
    .await?;
    let before = eventually(SOON, "the metric", async || {
        let at = bed.metric(stamp).await?;
        ensure!(at > 0.0);
        Ok(at)
    })
    .await?;
    steadily(Duration::from_secs(2), "service", async || {
        let seen = bed.answering().await?;
        ensure!(seen.len() == 2, "{seen:?}");
        Ok(())
    })
    .await?;
    let after = bed.metric(stamp).await?;
    ensure!(
        (after - before).abs() < 0.5,
        "the age grows: {before} {after}"
    );
    bed.say(1, Is::Unready)?;
    bed.api.listen().await?;
    bed.until(&[2]).await?;
    eventually(SOON, "a new age", async || {
        let at = bed.metric(stamp).await?;
        ensure!(at > after + 0.5, "{at}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn it_starts_without_an_api_server_and_is_ready_once_it_is_back() -> Result<()> {
    let setup = Setup {
        wait: false,
        ..Setup::default()
    };
    let mut bed = Bed::start_with(2, setup, async |api| {
        api.stop().await;
        Ok(())
    })
    .await?;
    let ready = http::get(bed.admin, "/readyz").await?;
    ensure!(
        ready.status == 503 && ready.text().contains("pool app"),
        "{ready:?}"
    );
    // An alert on the age has to see who has never heard of anything.
    eventually(SOON, "an age of who has never heard", async || {
        let text = http::get(bed.admin, "/metrics").await?.text();
        let of = |line: &&str| line.starts_with("lb_discovery_last_sync");
        let lines: Vec<&str> = text.lines().filter(of).collect();
        ensure!(
            matches!(lines.as_slice(), [line] if line.ends_with("} 0")),
            "{lines:?}"
        );
        Ok(())
    })
    .await?;
    bed.api.listen().await?;
    bed.process
        .wait_http(bed.admin, "/readyz", 200, SOON)
        .await?;
    bed.until(&[1, 2]).await
}

#[tokio::test]
async fn what_is_not_allowed_is_told_with_its_remedy() -> Result<()> {
    let setup = Setup {
        wait: false,
        ..Setup::default()
    };
    let bed = Bed::start_with(1, setup, async |api| {
        api.allow("x", User::new("lb", NAMESPACE, &SLICES, &[]));
        Ok(())
    })
    .await?;
    eventually(SOON, "word of it", async || {
        let output = bed.process.output();
        ensure!(
            output.contains("(403): give that account a Role"),
            "{output}"
        );
        Ok(())
    })
    .await?;
    // The least that is needed, as docs/discovery.md has it.
    let verbs = [Verb::Get, Verb::List, Verb::Watch];
    bed.api
        .allow("x", User::new("lb", NAMESPACE, &SLICES, &verbs));
    bed.until(&[1]).await
}

#[tokio::test]
async fn no_slice_at_all_is_not_believed_and_an_empty_one_is() -> Result<()> {
    let bed = Bed::start(2).await?;
    bed.until(&[1, 2]).await?;
    bed.forget(1);
    bed.until(&[2]).await?;
    bed.forget(2);
    eventually(SOON, "word of it", async || {
        let output = bed.process.output();
        ensure!(output.contains("the last known servers stay"), "{output}");
        Ok(())
    })
    .await?;
    bed.until(&[2]).await?;
    // A watch that breaks shortly before its end has ended in time.
    let watches = bed.api.asked(Verb::Watch);
    eventually(SOON, "a young watch", async || {
        ensure!(bed.api.asked(Verb::Watch) > watches);
        Ok(())
    })
    .await?;
    // As after a restore of the API server: a new list, and nothing in it.
    bed.api.begin_anew();
    bed.until_fresh().await?;
    bed.until(&[2]).await?;
    bed.api
        .put(&SLICES, NAMESPACE, slice("web-none", "web", 1, vec![]))?;
    eventually(SOON, "nobody", async || {
        let answer = http::get(bed.address, "/").await?;
        ensure!(answer.status == 503, "{answer:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn long_lists_come_in_pages_and_other_services_do_not_matter() -> Result<()> {
    let bed = Bed::start_with(2, Setup::default(), async |api| {
        for number in 0..1200 {
            // One after the other in the alphabet, so that servers 1 and 2 stand on the last page.
            let other = if number % 2 == 0 { "web" } else { "other" };
            let endpoint = json!({ "addresses": ["127.0.0.1"], "conditions": { "ready": false } });
            let object = slice(&format!("a-{number}"), other, 1, vec![endpoint]);
            api.put(&SLICES, NAMESPACE, object)?;
        }
        Ok(())
    })
    .await?;
    ensure!(bed.api.asked(Verb::List) > 1, "600 slices are two pages");
    bed.until(&[1, 2]).await
}

/// A server that is slow to answer is no fault.
#[tokio::test]
async fn slow_answers_are_waited_for() -> Result<()> {
    let bed = Bed::start_with(2, Setup::default(), async |api| {
        api.fault(None, Fault::Slow(Duration::from_millis(700)));
        Ok(())
    })
    .await?;
    bed.until(&[1, 2]).await?;
    ensure!(!bed.process.output().contains("EndpointSlices of pool app:"));
    Ok(())
}

/// Kubernetes' API Priority and Fairness says how long it wants to be left alone in the header only.
#[tokio::test]
async fn an_api_server_that_is_overloaded_is_left_alone_as_long_as_it_asks() -> Result<()> {
    let asked = Duration::from_secs(3);
    for code in [429, 503] {
        let bed = Bed::start(1).await?;
        bed.until(&[1]).await?;
        bed.api.fault(None, Fault::Status(code, Some(3)));
        bed.api.drop_watches(true);
        let refused = async |count: u64| {
            eventually(SOON, "a refusal", async || {
                ensure!(bed.api.answered(code) >= count);
                Ok(Instant::now())
            })
            .await
        };
        let first = refused(1).await?;
        let second = refused(2).await?;
        let pause = second - first;
        ensure!(pause + APPROX > asked, "{code}: {pause:?}");
        ensure!(pause < asked * 2, "{code}: {pause:?}");
        bed.api.heal();
        bed.until_fresh().await?;
        bed.until(&[1]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_has_run_out_leaves_the_servers_and_is_told() -> Result<()> {
    let bed = Bed::start(2).await?;
    bed.until(&[1, 2]).await?;
    let verbs = [Verb::Get, Verb::List, Verb::Watch];
    let user = User::new("lb", NAMESPACE, &SLICES, &verbs);
    bed.api.allow("another", user.clone());
    bed.api.drop_watches(true);
    bed.say(1, Is::Unready)?;
    eventually(SOON, "word of it", async || {
        let pools = http::get(bed.admin, "/api/v1/pools").await?.text();
        ensure!(pools.contains("replica's token (401)"), "{pools}");
        Ok(())
    })
    .await?;
    ensure!(bed.answering().await?.len() == 2, "both stay");
    bed.api.allow("x", user);
    bed.until(&[2]).await
}

#[tokio::test]
async fn a_list_that_is_too_old_between_two_pages_is_begun_anew() -> Result<()> {
    let setup = Setup {
        wait: false,
        ..Setup::default()
    };
    let mut bed = Bed::start_with(2, setup, async |api| {
        for number in 0..600 {
            let endpoint = json!({ "addresses": ["127.0.0.1"], "conditions": { "ready": false } });
            let object = slice(&format!("a-{number}"), "web", 1, vec![endpoint]);
            api.put(&SLICES, NAMESPACE, object)?;
        }
        api.fault(Some(Verb::List), Fault::Slow(Duration::from_millis(700)));
        Ok(())
    })
    .await?;
    eventually(SOON, "the second page to be asked for", async || {
        ensure!(bed.api.asked(Verb::List) >= 2);
        Ok(())
    })
    .await?;
    bed.api.compact();
    eventually(SOON, "a 410", async || {
        ensure!(bed.api.answered(410) >= 1);
        Ok(())
    })
    .await?;
    bed.api.heal();
    bed.process
        .wait_http(bed.admin, "/readyz", 200, SOON)
        .await?;
    bed.until(&[1, 2]).await
}
