//! The alerts: their syntax, their unit tests, and that they ask for what exists.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde_json::Value;
use strata_tests::process::Launch;
use strata_tests::tools;

use crate::objects::{list, text};
use crate::render;

const SOON: Duration = Duration::from_secs(30);
/// What the guide asks for, but for what has no metric yet (VRRP).
const WANTED: [&str; 17] = [
    "LbDown",
    "LbReplicasMissing",
    "LbAbsent",
    "LbHigh5xx",
    "LbHighLatencyP99",
    "LbPoolNoHealthy",
    "LbPoolDegraded",
    "LbPanicMode",
    "LbFailoverActive",
    "LbRegionDrainedTooLong",
    "LbConfigReloadFailed",
    "LbConfigDrift",
    "LbHealthFlapping",
    "LbRetryBudgetExhausted",
    "LbConnectionsNearLimit",
    "LbDiscoveryStale",
    "LbCertExpiry",
];

/// Where they are read, until an operator says where.
const RUNBOOKS: &str = "https://strata.example.com/docs/kubernetes.md#";

fn promtool() -> Result<Launch> {
    let path =
        tools::find("promtool").context("promtool not found; `apt-get install prometheus`")?;
    let dir = render::source().join("components/monitoring");
    Ok(Launch::new("promtool", path).dir(dir))
}

fn read(file: &str) -> Result<Value> {
    let file = render::source().join("components/monitoring").join(file);
    Ok(serde_yaml::from_str(&std::fs::read_to_string(file)?)?)
}

fn alerts(rules: &Value) -> Vec<&Value> {
    let groups = list(&rules["groups"]).iter();
    let rules = groups.flat_map(|group| list(&group["rules"]));
    rules.filter(|rule| rule["alert"].is_string()).collect()
}

#[tokio::test]
async fn the_rules_are_well_formed_and_pass_their_tests() -> Result<()> {
    let check = promtool()?.args(["check", "rules", "--lint-fatal", "rules.yaml"]);
    check.run_ok(SOON).await?;
    let test = promtool()?.args(["test", "rules", "rules.test.yaml"]);
    test.run_ok(SOON).await?;
    Ok(())
}

/// The control: with another threshold a test must fail.
#[tokio::test]
async fn a_changed_rule_fails_its_test() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let from = render::source().join("components/monitoring");
    let rules = std::fs::read_to_string(from.join("rules.yaml"))?;
    std::fs::copy(
        from.join("rules.test.yaml"),
        dir.path().join("rules.test.yaml"),
    )?;
    for (right, wrong) in [
        ("< 0.7", "< 0.3"),
        ("> 16000", "> 1600"),
        ("for: 4h", "for: 5h"),
        (" or lb_discovery_last_sync_timestamp_seconds == 0", ""),
        ("== 1) < 3", "== 1) < 2"),
        ("or absent(up{job=\"strata\"})", ""),
    ] {
        let changed = rules.replacen(right, wrong, 1);
        ensure!(changed != rules, "there is no {right}");
        std::fs::write(dir.path().join("rules.yaml"), changed)?;
        let test = promtool()?.args(["test", "rules", "rules.test.yaml"]);
        let (status, output) = test.dir(dir.path()).run(SOON).await?;
        ensure!(!status.success(), "{wrong}: {output}");
    }
    Ok(())
}

#[test]
fn both_forms_of_the_rules_are_the_same() -> Result<()> {
    let (plain, object) = (read("rules.yaml")?, read("prometheusrule.yaml")?);
    ensure!(
        plain["groups"] == object["spec"]["groups"],
        "copy the groups of rules.yaml"
    );
    Ok(())
}

#[test]
fn each_alert_is_wanted_tested_both_ways_and_has_a_remedy() -> Result<()> {
    let (rules, tests) = (read("rules.yaml")?, read("rules.test.yaml")?);
    let doc = render::source().join("../docs/kubernetes.md");
    let doc = std::fs::read_to_string(doc)?.to_lowercase();
    let all = alerts(&rules);
    for wanted in WANTED {
        ensure!(all.iter().any(|rule| rule["alert"] == wanted), "{wanted}");
    }
    let cases = list(&tests["tests"]).iter();
    let cases: Vec<&Value> = cases
        .flat_map(|test| list(&test["alert_rule_test"]))
        .collect();
    for rule in all {
        let name = text(&rule["alert"]);
        let of = cases.iter().filter(|case| case["alertname"] == name);
        let (silent, loud): (Vec<&&Value>, _) =
            of.partition(|case| list(&case["exp_alerts"]).is_empty());
        ensure!(
            !silent.is_empty() && !loud.is_empty(),
            "{name} is not tested both ways"
        );
        let url = text(&rule["annotations"]["runbook_url"]);
        let anchor = format!("{RUNBOOKS}{}", name.to_lowercase());
        ensure!(url == anchor, "{name}: {url}");
        let heading = format!("### {}\n", name.to_lowercase());
        ensure!(doc.contains(&heading), "docs/kubernetes.md has no {name}");
        ensure!(
            ["critical", "warning"].contains(&text(&rule["labels"]["severity"])),
            "{name}"
        );
    }
    Ok(())
}

/// One annotation says it for all of them.
#[tokio::test]
async fn where_runbooks_are_is_said_in_one_place() -> Result<()> {
    let copy = tempfile::tempdir()?;
    render::copy_tree(&render::source(), copy.path())?;
    let file = copy
        .path()
        .join("components/monitoring/prometheusrule.yaml");
    let text = std::fs::read_to_string(&file)?;
    let said = "strata.dev/runbooks: ";
    let other = text.replace(
        &format!("{said}strata.example.com"),
        &format!("{said}wiki.example.org/lb"),
    );
    ensure!(text != other, "there is no {said}");
    std::fs::write(&file, other)?;
    let rendered = render::build(&copy.path().join("overlays/region-eu")).await?;
    let urls = rendered.lines().filter(|line| line.contains("runbook_url"));
    let urls: Vec<&str> = urls.collect();
    let base = "https://wiki.example.org/lb/docs/kubernetes.md#lb";
    ensure!(
        urls.len() >= WANTED.len() && urls.iter().all(|url| url.contains(base)),
        "{urls:?}"
    );
    Ok(())
}

/// A metric that was renamed would leave an alert silent for good.
#[test]
fn every_metric_of_a_rule_is_documented() -> Result<()> {
    let doc = std::fs::read_to_string(render::source().join("../docs/metrics.md"))?;
    let rules = std::fs::read_to_string(render::source().join("components/monitoring/rules.yaml"))?;
    let names = Regex::new(r"\blb_[a-z0-9_]+")?;
    let used: BTreeSet<&str> = names
        .find_iter(&rules)
        .map(|found| found.as_str())
        .collect();
    ensure!(used.len() > 10, "{used:?}");
    for name in used {
        let family = name.trim_end_matches("_bucket");
        ensure!(
            doc.contains(&format!("| `{family}` |")),
            "docs/metrics.md has no {family}"
        );
    }
    Ok(())
}
