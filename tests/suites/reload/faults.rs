//! Bad files: the last good one serves on, the fault is told wherever an operator looks, and a good file heals.

use anyhow::{Context, Result, ensure};
use strata_tests::eventually;
use strata_tests::http;
use strata_tests::load::Load;
use strata_tests::process::{Launch, Signal};
use strata_tests::tools;

use crate::bed::{Bed, Plan, SOON};

const LAST_GOOD: &str = "lb_config_last_reload_successful";

/// A kind of bad file: its content (none: no file), a word of the fault, and its line when it has one.
struct Bad {
    kind: &'static str,
    content: Option<Vec<u8>>,
    word: &'static str,
    line: Option<u64>,
}

fn kinds(good: &str) -> Vec<Bad> {
    let line_of = |text: &str, what: &str| {
        let index = text.lines().position(|line| line.contains(what));
        index.and_then(|index| u64::try_from(index + 1).ok())
    };
    let bad = |kind, content: String, word, line| Bad {
        kind,
        content: Some(content.into_bytes()),
        word,
        line,
    };
    let syntax = good.replace("routes:\n", "routes: [\n");
    let unknown_key = good.replace("    pool: web\n", "    pool: web\n    poool: web\n");
    let unknown_pool = good.replace("pool: web\n", "pool: webb\n");
    let weight = good.replace("weight: 1 ", "weight: many ");
    let half = good.split_at(good.len() / 2).0.to_owned();
    let binary: Vec<u8> = (0..4_096_u32).map(|i| (i * 7 % 256) as u8).collect();
    let huge = format!("{good}# {}\n", "x".repeat(64 << 20));
    vec![
        bad("syntax", syntax, "", None),
        bad(
            "unknown key",
            unknown_key.clone(),
            "poool",
            line_of(&unknown_key, "poool"),
        ),
        bad(
            "unknown pool",
            unknown_pool.clone(),
            "webb",
            line_of(&unknown_pool, "pool: webb"),
        ),
        bad(
            "wrong type",
            weight.clone(),
            "many",
            line_of(&weight, "many"),
        ),
        bad("empty", String::new(), "", None),
        bad("truncated", half, "", None),
        bad("huge", huge, "", None),
        Bad {
            kind: "binary",
            content: Some(binary),
            word: "",
            line: None,
        },
        Bad {
            kind: "missing",
            content: None,
            word: "",
            line: None,
        },
    ]
}

#[tokio::test]
async fn every_kind_of_bad_file_is_refused_told_and_healed() -> Result<()> {
    let mut bed = Bed::start(2).await?;
    let good = bed.text(&Plan::of(2));
    let running = Load::at(bed.address).rate(100.0).start()?;
    for bad in kinds(&good) {
        let what = bad.kind;
        refused(&mut bed, &bad)
            .await
            .with_context(|| format!("a file that is bad: {what}"))?;
        running.settle(10).await;
        let before = bed.generation().await?;
        // The very same good content again must heal too.
        bed.write(&good)?;
        bed.process.signal(Signal::SIGHUP)?;
        eventually(SOON, what, async || {
            let status = bed.status().await?;
            let config = &status["config"];
            ensure!(
                config["last_reload_ok"] == true && config["error"].is_null(),
                "{config}"
            );
            Ok(())
        })
        .await?;
        ensure!(bed.metric(LAST_GOOD).await? == "1", "{what}: healed");
        ensure!(bed.generation().await? >= before, "{what}");
    }
    let report = running.stop().await;
    ensure!(report.failed == 0, "{report}");
    Ok(())
}

async fn refused(bed: &mut Bed, bad: &Bad) -> Result<()> {
    match &bad.content {
        Some(content) => bed.write(content)?,
        None => std::fs::remove_file(&bed.file)?,
    }
    bed.process.signal(Signal::SIGHUP)?;
    eventually(SOON, "the refusal", async || {
        let status = bed.status().await?;
        ensure!(
            status["config"]["last_reload_ok"] == false,
            "{}",
            status["config"]
        );
        Ok(())
    })
    .await?;
    ensure!(bed.metric(LAST_GOOD).await? == "0", "the metric");
    let status = bed.status().await?;
    let fault = &status["config"]["error"][0];
    let file = bed.file.display().to_string();
    ensure!(fault["file"] == file.as_str(), "{status}");
    let reason = fault["reason"].as_str().unwrap_or_default();
    ensure!(!reason.is_empty() && reason.contains(bad.word), "{fault}");
    if let Some(line) = bad.line {
        ensure!(fault["line"] == line, "line {line}: {fault}");
    }
    let shown = Launch::new("lbctl", tools::program("lbctl")?)
        .args([
            "--admin".to_owned(),
            bed.admin.to_string(),
            "status".to_owned(),
        ])
        .run_ok(SOON)
        .await?;
    ensure!(shown.contains("the file was refused"), "{shown}");
    let place = fault["line"].as_u64().filter(|line| *line > 0);
    let place = place.map_or(file.clone(), |line| format!("{file}:{line}:"));
    ensure!(
        shown.contains(&place) && shown.contains(reason),
        "no {place}: {shown}"
    );
    ensure!(
        http::get(bed.address, "/").await?.status == 200,
        "the last good one serves"
    );
    ensure!(
        http::get(bed.admin, "/readyz").await?.status == 200,
        "ready all the same"
    );
    Ok(())
}

#[tokio::test]
async fn sighup_tries_a_refused_file_again() -> Result<()> {
    let mut bed = Bed::start(1).await?;
    let mut plan = Plan::of(1);
    plan.pool += "\ntls: { ca: authorities.pem }";
    let before = bed.generation().await?;
    bed.write(bed.text(&plan))?;
    eventually(SOON, "the refusal", async || {
        let error = bed.status().await?["config"]["error"].to_string();
        ensure!(error.contains("authorities.pem"), "{error}");
        Ok(())
    })
    .await?;
    // The file itself stays as it is; what it names is put in place.
    let authority = strata_tests::certs::Authority::new()?;
    std::fs::write(bed.dir.path().join("authorities.pem"), authority.pem())?;
    bed.process.signal(Signal::SIGHUP)?;
    bed.generation_after(before).await
}
