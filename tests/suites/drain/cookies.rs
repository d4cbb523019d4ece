//! Users whom a cookie binds to a region that is drained.

use anyhow::{Context, Result, ensure};
use http::Request;
use strata_tests::eventually;
use strata_tests::http::{Answer, Dial, empty};

use crate::bed::{Bed, SOON};

async fn ask(bed: &Bed, cookie: &str) -> Result<Answer> {
    let request = Request::get("/").header("cookie", cookie);
    let dial = Dial::http1(bed.platform.globals[2].address());
    let answer = dial.send(request.body(empty())?).await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer)
}

fn region(answer: &Answer) -> &str {
    let server = answer.header("x-served-by");
    server.split('-').next().unwrap_or_default()
}

/// The cookie of a user who is at home in `name`.
async fn user_of(bed: &Bed, name: &str) -> Result<String> {
    eventually(SOON, "a user of the region", async || {
        let answer = ask(bed, "").await?;
        let regions = bed.platform.globals[2].admin_get("/api/v1/regions").await?;
        ensure!(region(&answer) == name, "{answer:?}: {}", regions.text());
        let set = answer.header("set-cookie");
        let cookie = set.split(';').next().context("no cookie")?;
        ensure!(cookie.starts_with("lb-region="), "{cookie}");
        Ok(cookie.to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bound_users_stay_where_they_are_honored_and_nobody_new_comes() -> Result<()> {
    let bed = Bed::with_cookies().await?;
    let (one, two) = (user_of(&bed, "r1").await?, user_of(&bed, "r2").await?);
    let honor = "region drain r1 --over 0s --session honor --session-grace 5m --reason a";
    bed.order(0, honor).await?;
    bed.order(1, "region drain r2 --over 0s --session migrate --reason b")
        .await?;
    bed.reaches(2, "region/r1", "drained").await?;
    bed.reaches(2, "region/r2", "drained").await?;
    for _ in 0..20 {
        let bound = ask(&bed, &one).await?;
        ensure!(region(&bound) == "r1", "{bound:?}");
        let moved = ask(&bed, &two).await?;
        ensure!(region(&moved) == "r3", "the control: {moved:?}");
        let new = ask(&bed, "").await?;
        ensure!(region(&new) == "r3", "{new:?}");
    }
    Ok(())
}
