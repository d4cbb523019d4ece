//! Who is believed, what crosses a hop, and what routes do with it, through both tiers.

mod claims;
mod ids;
mod routes;

use anyhow::{Context, Result};
use http::Request;
use serde_json::Value;
use strata_tests::http::{self as client, Dial};
use strata_tests::topology::{Platform, Topology};

const LOG_ALL: &str = "access_log: { path: \"-\", sample: 100% }\n";

/// Both tiers, with clients outside or inside the trusted ranges. The regional tier always trusts the global one.
async fn both_tiers(clients_are_trusted: bool) -> Result<Platform> {
    Topology::two_tier()
        .pool("web", 1)
        .tune_regional(|file| file.extra = LOG_ALL.to_owned())
        .tune_global(move |file| {
            file.extra = LOG_ALL.to_owned();
            if !clients_are_trusted {
                file.front.trusted = "192.0.2.0/24".to_owned();
            }
        })
        .start()
        .await
}

/// The request as the server saw it.
async fn echo(platform: &Platform, fields: &[(&str, &str)]) -> Result<Value> {
    let mut request = Request::get("/echo");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let dial = Dial::http1(platform.address()?);
    dial.send(request.body(client::empty())?).await?.json()
}

/// All values of a field that the server saw.
fn values(seen: &Value, name: &str) -> Vec<String> {
    let fields = seen["headers"].as_array().cloned().unwrap_or_default();
    fields
        .iter()
        .filter(|field| field[0] == name)
        .filter_map(|field| field[1].as_str().map(str::to_owned))
        .collect()
}

/// The one value of a field that the server saw.
fn value(seen: &Value, name: &str) -> Result<String> {
    let all = values(seen, name);
    let first = all.first().cloned();
    first
        .filter(|_| all.len() == 1)
        .with_context(|| format!("{name} once, got {all:?} in {seen}"))
}
