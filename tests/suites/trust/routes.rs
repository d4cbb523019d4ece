//! Routes end to end: matching, rewrites, redirects, edits of header fields.

use anyhow::{Result, ensure};
use http::Request;
use serde_json::Value;
use strata_tests::http::{self as client, Dial};
use strata_tests::topology::{Platform, Topology};

use super::{value, values};

const ROUTES: &str = r#"
  - { name: host, match: { hosts: [api.example.com] }, pool: api }
  - { name: star, match: { hosts: ["*.example.com"] }, pool: wild }
  - { name: exact, match: { path: { exact: /echo/exact } }, pool: api }
  - { name: regex, match: { path: { regex: "/echo/[0-9]+" } }, pool: wild }
  - { name: canary, match: { headers: [{ name: x-canary, exact: "yes" }] }, pool: api }
  - { name: deletes, match: { path: { prefix: /echo/items }, methods: [DELETE] }, pool: api }
  - { name: strip, match: { path: { prefix: /app } }, pool: web, rewrite: { prefix: /echo, host: inside.example } }
  - { name: old, match: { path: { prefix: /old } }, redirect: { status: 301, scheme: https, host: new.example, path: /new } }
  - name: edit
    match: { path: { prefix: /echo/edit } }
    pool: web
    request_headers: { remove: [cookie], set: { x-set: ours }, add: { x-add: more } }
    response_headers: { remove: [x-served-by], set: { strict-transport-security: max-age=1 }, add: { x-add: more } }
"#;

async fn start() -> Result<Platform> {
    Topology::regional()
        .pool("web", 1)
        .pool("api", 1)
        .pool("wild", 1)
        .tune_regional(|file| file.more_routes = ROUTES.trim_start_matches('\n').to_owned())
        .start()
        .await
}

async fn ask(
    platform: &Platform,
    method: &str,
    host: &str,
    path: &str,
    field: Option<(&str, &str)>,
) -> Result<Value> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host);
    if let Some((name, value)) = field {
        request = request.header(name, value);
    }
    let answer = Dial::http1(platform.address()?)
        .send(request.body(client::empty())?)
        .await?;
    answer.json()
}

#[tokio::test]
async fn the_most_specific_route_wins() -> Result<()> {
    let platform = start().await?;
    for (method, host, path, field, pool) in [
        ("GET", "x.test", "/echo", None, "web"),
        ("GET", "api.example.com", "/echo", None, "api"),
        ("GET", "API.Example.COM:80", "/echo", None, "api"),
        ("GET", "www.example.com", "/echo", None, "wild"),
        ("GET", "example.com", "/echo", None, "web"),
        ("GET", "x.test", "/echo/exact", None, "api"),
        ("GET", "x.test", "/echo/exact/more", None, "web"),
        ("GET", "x.test", "/echo/123", None, "wild"),
        ("GET", "x.test", "/echo/123a", None, "web"),
        ("GET", "x.test", "/echo/items/1", None, "web"),
        ("DELETE", "x.test", "/echo/items/1", None, "api"),
        ("GET", "x.test", "/echo", Some(("x-canary", "yes")), "api"),
        ("GET", "x.test", "/echo", Some(("x-canary", "no")), "web"),
    ] {
        for server in platform.servers() {
            server.script(|script| script.answer = strata_tests::server::Answer::Echo);
        }
        let seen = ask(&platform, method, host, path, field).await?;
        let server = seen["server"].as_str().unwrap_or_default();
        ensure!(
            server == format!("r1-{pool}-1"),
            "{method} {host}{path} {field:?} went to {server}, not {pool}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_prefix_and_the_host_are_rewritten() -> Result<()> {
    let platform = start().await?;
    let seen = ask(&platform, "GET", "x.test", "/app?a=1", None).await?;
    ensure!(seen["path"] == "/echo?a=1", "{seen}");
    ensure!(value(&seen, "host")? == "inside.example", "{seen}");
    ensure!(value(&seen, "x-forwarded-host")? == "x.test", "{seen}");
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_answered_here() -> Result<()> {
    let platform = start().await?;
    let answer = client::get(platform.address()?, "/old/x?q=1").await?;
    let location = answer.header("location");
    ensure!(answer.status == 301, "{answer:?}");
    ensure!(
        location.starts_with("https://new.example/new"),
        "{location}"
    );
    let reached: u64 = platform
        .ledgers()
        .iter()
        .map(|ledger| ledger.counts().requests)
        .sum();
    ensure!(reached == 0, "a redirect reached a server");
    Ok(())
}

#[tokio::test]
async fn fields_are_edited_both_ways() -> Result<()> {
    let platform = start().await?;
    for server in platform.servers() {
        server.script(|script| script.answer = strata_tests::server::Answer::Echo);
    }
    let request = Request::get("/echo/edit")
        .header("cookie", "secret")
        .header("x-set", "theirs")
        .header("x-add", "one")
        .body(client::empty())?;
    let answer = Dial::http1(platform.address()?).send(request).await?;
    let seen = answer.json()?;
    ensure!(values(&seen, "cookie").is_empty(), "{seen}");
    ensure!(value(&seen, "x-set")? == "ours", "{seen}");
    ensure!(values(&seen, "x-add") == ["one", "more"], "{seen}");
    ensure!(
        answer.header("x-served-by").is_empty(),
        "{:?}",
        answer.headers
    );
    ensure!(
        answer.header("strict-transport-security") == "max-age=1",
        "{:?}",
        answer.headers
    );
    ensure!(answer.header("x-add") == "more", "{:?}", answer.headers);
    Ok(())
}
