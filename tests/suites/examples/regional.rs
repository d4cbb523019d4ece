//! Files of the regional tier.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::certs::Authority;
use strata_tests::http::{Dial, empty};
use strata_tests::kube::{ApiServer, Resource};
use strata_tests::raw::RawConn;
use strata_tests::server::{Answer, Health, Server};
use strata_tests::{eventually, http as client};

use crate::stage::{run, served_by};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_file_to_start_from_spreads_over_three_servers() -> Result<()> {
    let stage = run("regional.yaml", |_| Ok(())).await?;
    eventually(SOON, "all servers", async || {
        let mut seen = BTreeSet::new();
        for _ in 0..30 {
            seen.insert(stage.port_for("any.example", "/", &[]).await?);
        }
        ensure!(seen == BTreeSet::from([9001, 9002, 9003]), "{seen:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn servers_by_name_are_resolved_and_asked() -> Result<()> {
    let stage = run("examples/dns-servers.yaml", |_| Ok(())).await?;
    eventually(SOON, "both names", async || {
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            seen.insert(stage.port_for("any.example", "/", &[]).await?);
        }
        ensure!(seen == BTreeSet::from([9001, 9002]), "{seen:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn servers_behind_services_are_found() -> Result<()> {
    let api = ApiServer::start().await?;
    let mut servers = Vec::new();
    for service in ["app", "app-canary"] {
        let server = Server::start(service).await?;
        let at = server.address();
        let object = serde_json::json!({
            "metadata": { "name": service, "labels": { "kubernetes.io/service-name": service } },
            "addressType": "IPv4",
            "ports": [{ "name": "http", "port": at.port() }],
            "endpoints": [{ "addresses": [at.ip().to_string()] }],
        });
        api.put(&Resource::ENDPOINT_SLICES, "shop", object)?;
        servers.push(server);
    }
    let access = |dir: &std::path::Path| {
        let file = dir.join("kubeconfig");
        api.kubeconfig(&file, "elsewhere", "token: x", None)
            .map(drop)
    };
    let stage = run("examples/kubernetes-service.yaml", access).await?;
    let mut canary = 0;
    for _ in 0..300 {
        let answer = stage.get("any.example", "/", &[]).await?;
        canary += u32::from(answer.header("x-served-by") == "app-canary");
    }
    ensure!((5..=80).contains(&canary), "{canary} of 300 at the canary");
    Ok(())
}

#[tokio::test]
async fn grpc_paths_reach_http2_servers() -> Result<()> {
    let stage = run("examples/grpc.yaml", |_| Ok(())).await?;
    for port in [9001, 9002] {
        // Not a gRPC server: its probes fail everywhere, and health is then ignored.
        stage.server(port)?.script(|b| {
            b.answer = Answer::Trailers;
            b.health = Health::Follow;
        });
    }
    let request = http::Request::post("/helloworld.Greeter/SayHello");
    let request = request.header("te", "trailers").body(empty())?;
    let answer = Dial::h2c(stage.users).send(request).await?;
    ensure!(
        answer.status == 200 && answer.trailers.contains_key("x-trailer"),
        "{answer:?}"
    );
    let seen = stage.server(served_by(&answer)?)?.ledger().last();
    ensure!(seen.is_some_and(|seen| seen.path == "/helloworld.Greeter/SayHello"));
    let other = Dial::h2c(stage.users).get("/other.Service/Call").await?;
    ensure!(other.status == 404, "{other:?}");
    Ok(())
}

#[tokio::test]
async fn header_fields_and_methods_choose_routes() -> Result<()> {
    let stage = run("examples/header-routing.yaml", |_| Ok(())).await?;
    for port in [9001, 9002, 9003] {
        stage.server(port)?.script(|b| {
            b.answer = Answer::Echo;
            b.headers
                .push((http::header::SERVER, "secret/1.0".parse().unwrap()));
        });
    }
    let next = stage
        .get("any.example", "/", &[("x-version", "next")])
        .await?;
    ensure!(served_by(&next)? == 9003, "{next:?}");
    let echo = next.json()?.to_string();
    ensure!(echo.contains(r#"["x-served-by","next"]"#), "{echo}");
    let api = stage.get("api.example.com", "/v1/users", &[]).await?;
    ensure!(
        served_by(&api)? != 9003 && api.header("server") == "secret/1.0",
        "{api:?}"
    );
    let fields = [("x-internal-user", "root")];
    let rest = stage.get("any.example", "/", &fields).await?;
    ensure!(
        !rest.json()?.to_string().contains("x-internal-user"),
        "{rest:?}"
    );
    let hsts = rest.header("strict-transport-security");
    ensure!(
        hsts == "max-age=31536000" && rest.header("server").is_empty(),
        "{rest:?}"
    );
    Ok(())
}

#[tokio::test]
async fn redirects_and_rewrites_change_what_they_name() -> Result<()> {
    let stage = run("examples/redirects.yaml", |_| Ok(())).await?;
    stage.server(9001)?.script(|b| b.answer = Answer::Echo);
    for (host, path, status, location) in [
        (
            "www.example.com",
            "/a?b",
            308,
            "https://www.example.com/a?b",
        ),
        ("example.com", "/a?b", 301, "https://www.example.com/a?b"),
        ("other.example", "/old-page?q", 308, "/new-page?q"),
    ] {
        let answer = stage.get(host, path, &[]).await?;
        let to = answer.header("location");
        ensure!(
            answer.status == status && to.ends_with(location),
            "{host}{path}: {answer:?}"
        );
    }
    let echo = stage
        .get("other.example", "/api/users", &[])
        .await?
        .json()?;
    ensure!(echo["path"] == "/users", "{echo}");
    ensure!(
        echo.to_string().contains(r#"["host","api.internal"]"#),
        "{echo}"
    );
    ensure!(stage.port_for("other.example", "/x", &[]).await? == 9001);
    Ok(())
}

#[tokio::test]
async fn the_same_user_and_path_stay_on_one_server() -> Result<()> {
    let stage = run("examples/sticky-hash.yaml", |_| Ok(())).await?;
    // The bound on load counts a request for an instant after its answer is out, and would pass its server over.
    let ask = async |path: &str, fields: &[(&str, &str)]| {
        stage.is_idle().await?;
        stage.port_for("e", path, fields).await
    };
    let mut users = BTreeSet::new();
    for user in 0..20 {
        let cookie = format!("a=b; session=user-{user}");
        let mut seen = BTreeSet::new();
        for _ in 0..4 {
            seen.insert(ask("/shop", &[("cookie", &cookie)]).await?);
        }
        ensure!(seen.len() == 1, "user {user} moved: {seen:?}");
        users.extend(seen);
    }
    ensure!(users.len() == 3, "users on {users:?} only");
    let mut images = BTreeSet::new();
    for image in 0..20 {
        let path = format!("/image-{image}.png");
        let one = ask(&path, &[]).await?;
        ensure!(ask(&path, &[]).await? == one, "{path} moved");
        images.insert(one);
    }
    ensure!(images.len() == 2, "images on {images:?} only");
    Ok(())
}

#[tokio::test]
async fn the_server_name_chooses_the_certificate() -> Result<()> {
    let (www, api) = (Authority::new()?, Authority::new()?);
    let stage = run("examples/tls-sni.yaml", |dir| {
        let tls = dir.join("tls");
        std::fs::create_dir(&tls)?;
        let pairs = [
            ("www", www.issue(&["www.example.com"])?),
            ("api", api.issue(&["api.example.com", "*.api.example.com"])?),
        ];
        for (name, identity) in pairs {
            std::fs::write(tls.join(format!("{name}.pem")), &identity.cert_pem)?;
            std::fs::write(tls.join(format!("{name}.key")), &identity.key_pem)?;
        }
        Ok(())
    })
    .await?;
    let cases: [(&Authority, &str, &[u16]); 3] = [
        (&www, "www.example.com", &[9001, 9002]),
        (&api, "api.example.com", &[9003]),
        (&api, "v2.api.example.com", &[9003]),
    ];
    for (authority, name, ports) in cases {
        for protocol in ["h2", "http/1.1"] {
            let dial = Dial::tls(stage.users, name, authority.client(&[protocol])?);
            let uri = format!("https://{name}/");
            let request = if protocol == "h2" {
                http::Request::get(uri)
            } else {
                http::Request::get("/").header("host", name)
            };
            let answer = dial.send(request.body(empty())?).await?;
            let port = served_by(&answer)?;
            ensure!(
                answer.status == 200 && ports.contains(&port),
                "{name}: {answer:?}"
            );
        }
    }
    let wrong = Dial::tls(stage.users, "www.example.com", api.client(&[])?);
    ensure!(
        wrong.get("/").await.is_err(),
        "the control: another authority"
    );
    Ok(())
}

#[tokio::test]
async fn upgrades_and_pages_reach_their_pools() -> Result<()> {
    let stage = run("examples/websocket.yaml", |_| Ok(())).await?;
    ensure!(stage.port_for("e", "/page", &[]).await? == 9003);
    let chat = stage.port_for("e", "/chat", &[]).await?;
    ensure!(chat == 9001 || chat == 9002, "{chat}");
    let mut conn = RawConn::connect(stage.users).await?;
    conn.write(
        b"GET /chat HTTP/1.1\r\nhost: e\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await?;
    // The scripted server declines the upgrade; that it was asked for one is what counts.
    let seen = conn.read_until(b"\r\n\r\n", SOON).await;
    ensure!(seen.status() == Some(200), "{}", seen.text());
    let metrics = client::get(stage.admin, "/metrics").await?.text();
    ensure!(metrics.contains(r#"route="chat""#), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_client_of_the_api_is_limited_and_others_are_not() -> Result<()> {
    let stage = run("examples/overload.yaml", |_| Ok(())).await?;
    let key = [("x-api-key", "one")];
    for number in 0..6 {
        let answer = stage.get("any.example", "/api/x", &key).await?;
        let is_limited = answer.status == 429 && !answer.header("retry-after").is_empty();
        ensure!(is_limited == (number == 5), "{number}: {answer:?}");
    }
    let other = [("x-api-key", "two")];
    for (path, fields) in [("/api/x", &other), ("/other", &key)] {
        let answer = stage.get("any.example", path, fields).await?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_cookie_keeps_a_user_on_a_server() -> Result<()> {
    let stage = run("examples/affinity.yaml", |dir| {
        Ok(std::fs::write(
            dir.join("secret"),
            "sixteen characters or more",
        )?)
    })
    .await?;
    let first = stage.get("e", "/", &[]).await?;
    let field = first.header("set-cookie");
    let cookie = field.split(';').next().unwrap_or_default().to_owned();
    ensure!(cookie.starts_with("shop-server=shop-"), "{field}");
    for _ in 0..10 {
        let again = stage.get("e", "/", &[("cookie", &cookie)]).await?;
        ensure!(served_by(&again)? == served_by(&first)?, "{again:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_tenth_is_copied_and_drills_hit_who_asks() -> Result<()> {
    let stage = run("examples/shadow.yaml", |_| Ok(())).await?;
    for _ in 0..200 {
        ensure!(stage.port_for("e", "/", &[]).await? != 9003);
    }
    eventually(SOON, "a copy", async || {
        let copies = stage.server(9003)?.ledger().counts().requests;
        ensure!((3..60).contains(&copies), "{copies} copies of 200");
        Ok(())
    })
    .await?;
    let mut disturbed = 0;
    for _ in 0..40 {
        let answer = stage.get("e", "/", &[("x-drill", "1")]).await?;
        disturbed += usize::from(answer.status == 503);
    }
    ensure!((8..=32).contains(&disturbed), "{disturbed} of 40");
    Ok(())
}

#[tokio::test]
async fn the_own_zone_is_asked_first() -> Result<()> {
    let stage = run("examples/zones.yaml", |_| Ok(())).await?;
    for port in [9001, 9002, 9003, 9004] {
        stage.server(port)?;
    }
    eventually(SOON, "checks", async || {
        let status = client::get(stage.admin, "/api/v1/status").await?.json()?;
        ensure!(status["pools"][0]["healthy"] == 4, "{status}");
        Ok(())
    })
    .await?;
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        seen.insert(stage.port_for("e", "/", &[]).await?);
    }
    ensure!(seen == BTreeSet::from([9001, 9002]), "{seen:?}");
    Ok(())
}
