//! What `docs/migrating.md` names exists.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use regex::Regex;

/// The page.
pub(crate) fn text() -> Result<String> {
    docs("migrating.md")
}

fn docs(name: &str) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))
}

/// Names of metrics on the page that begin so.
pub(crate) fn metrics(prefix: &str) -> Result<Vec<String>> {
    let page = text()?;
    let pattern = Regex::new(&format!(r"\b{prefix}_[a-z_]+[a-z]"))?;
    // A field of Envoy looks like a metric of ours.
    let names = pattern
        .find_iter(&page)
        .map(|name| name.as_str().to_owned());
    Ok(names.filter(|name| name != "lb_policy").collect())
}

/// Column `ours` of the tables "their setting → ours".
fn ours(page: &str) -> Vec<&str> {
    let mut column = None;
    let mut cells = Vec::new();
    for line in page.lines() {
        if !line.starts_with('|') {
            column = None;
            continue;
        }
        let row: Vec<&str> = line.split(" | ").collect();
        match column {
            None => column = Some(row.iter().position(|cell| *cell == "ours")),
            Some(Some(number)) => cells.extend(row.get(number).copied()),
            Some(None) => {}
        }
    }
    cells
}

#[test]
fn every_setting_of_ours_exists() -> Result<()> {
    let keys: BTreeSet<String> = Regex::new(r"(?m)^\| `([a-z_0-9]+)` \|")?
        .captures_iter(&docs("configuration.md")?)
        .map(|c| c[1].to_owned())
        .collect();
    let page = text()?;
    let code = Regex::new("`([^`]+)`")?;
    let key = Regex::new(
        r"(?:^|[\s{.\[])([a-z][a-z_0-9]*)(?::(?:\s|$))|^([a-z_0-9]+(?:\.[a-z_0-9]+)*)$",
    )?;
    let mut count = 0;
    for cell in ours(&page) {
        for span in code.captures_iter(cell) {
            for found in key.captures_iter(&span[1]) {
                let path = found.get(1).or(found.get(2)).map_or("", |m| m.as_str());
                for name in path.split('.') {
                    ensure!(keys.contains(name), "there is no setting {name}: {cell}");
                    count += 1;
                }
            }
        }
    }
    ensure!(
        count > 60,
        "{count} settings only: the tables were not found"
    );
    Ok(())
}

#[test]
fn every_metric_of_ours_exists() -> Result<()> {
    let known = docs("metrics.md")?;
    let names = metrics("lb")?;
    for name in &names {
        ensure!(known.contains(&format!("`{name}`")), "there is no {name}");
    }
    ensure!(names.len() > 10, "{} metrics only", names.len());
    Ok(())
}
