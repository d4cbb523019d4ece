//! TLS at the front, towards servers, and between the tiers.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use http::Version;
use strata_tests::certs::Authority;
use strata_tests::http::Dial;
use strata_tests::server::Server;
use strata_tests::subject::Upstream;
use strata_tests::tools::Tool;
use strata_tests::topology::{Platform, Topology};
use tempfile::TempDir;

/// An authority with a directory for its files.
struct Office {
    authority: Authority,
    dir: TempDir,
}

impl Office {
    fn open() -> Result<Self> {
        let office = Self {
            authority: Authority::new()?,
            dir: tempfile::tempdir()?,
        };
        std::fs::write(office.ca(), office.authority.pem())?;
        Ok(office)
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate as an item of `certificates`.
    fn listed(&self, file: &str, names: &[&str]) -> Result<String> {
        let files = self.authority.issue(names)?.write(self.dir.path(), file)?;
        Ok(format!(
            "{{ certificate: {}, key: {} }}",
            files.cert.display(),
            files.key.display()
        ))
    }
}

async fn front(protocols: &'static str, tls: String) -> Result<Platform> {
    Topology::regional()
        .pool("web", 1)
        .tune_regional(move |file| {
            file.front.protocols = protocols.to_owned();
            file.front.tls = Some(tls.clone());
        })
        .start()
        .await
}

/// The subject names of the certificate that openssl is shown.
async fn shown(platform: &Platform, name: Option<&str>) -> Result<String> {
    let address = platform.address()?.to_string();
    let launch = Tool::Openssl
        .launch()?
        .args(["s_client", "-connect", &address]);
    let launch = match name {
        Some(name) => launch.args(["-servername", name]),
        None => launch.args(["-noservername"]),
    };
    let output = launch.run_ok(std::time::Duration::from_secs(10)).await?;
    let from = output.find("-----BEGIN").context("no certificate")?;
    let to = output.find("-----END").context("no end")?;
    let file = platform.dir().join("shown.pem");
    std::fs::write(
        &file,
        format!("{}-----END CERTIFICATE-----\n", &output[from..to]),
    )?;
    let launch = Tool::Openssl
        .launch()?
        .args(["x509", "-noout", "-ext", "subjectAltName", "-in"]);
    launch
        .arg(&file)
        .run_ok(std::time::Duration::from_secs(10))
        .await
}

#[tokio::test]
async fn the_server_name_chooses_the_certificate() -> Result<()> {
    let office = Office::open()?;
    let list = [
        office.listed("first", &["first.test"])?,
        office.listed("exact", &["exact.test", "a.wild.test"])?,
        office.listed("wild", &["*.wild.test"])?,
    ];
    let platform = front("http1, h2", format!("certificates: [{}]", list.join(", "))).await?;
    for (name, wanted) in [
        (Some("exact.test"), "DNS:exact.test"),
        (Some("EXACT.test"), "DNS:exact.test"),
        (Some("b.wild.test"), "DNS:*.wild.test"),
        (Some("a.wild.test"), "DNS:exact.test"),
        (Some("x.b.wild.test"), "DNS:first.test"),
        (Some("other.test"), "DNS:first.test"),
        (None, "DNS:first.test"),
    ] {
        let names = shown(&platform, name).await?;
        ensure!(names.contains(wanted), "{name:?} was shown {names}");
    }
    Ok(())
}

#[tokio::test]
async fn alpn_settles_the_protocol() -> Result<()> {
    let office = Office::open()?;
    let list = office.listed("a", &["a.test"])?;
    let platform = front("http1, h2", format!("certificates: [{list}]")).await?;
    for (offered, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let dial = Dial::tls(
            platform.address()?,
            "a.test",
            office.authority.client(offered)?,
        );
        let answer = dial.get("/bytes/1000000").await?;
        ensure!(
            answer.version == version && answer.body.len() == 1_000_000,
            "{offered:?}"
        );
        let seen = dial.get("/echo").await?.text();
        ensure!(seen.contains("\"x-forwarded-proto\",\"https\""), "{seen}");
    }
    let only = front(
        "http1",
        format!("certificates: [{}]", office.listed("b", &["a.test"])?),
    )
    .await?;
    let dial = Dial::tls(
        only.address()?,
        "a.test",
        office.authority.client(&["h2", "http/1.1"])?,
    );
    ensure!(
        dial.get("/").await?.version == Version::HTTP_11,
        "h2 is not on offer"
    );
    Ok(())
}

#[tokio::test]
async fn plain_text_on_a_tls_port_is_no_request() -> Result<()> {
    let office = Office::open()?;
    let list = office.listed("a", &["a.test"])?;
    let platform = front("http1, h2", format!("certificates: [{list}]")).await?;
    ensure!(
        Dial::http1(platform.address()?).get("/").await.is_err(),
        "plain text was answered"
    );
    let dial = Dial::tls(platform.address()?, "a.test", office.authority.client(&[])?);
    ensure!(dial.get("/").await?.status == 200, "others are served on");
    Ok(())
}

#[tokio::test]
async fn clients_without_a_certificate_are_turned_away() -> Result<()> {
    let office = Office::open()?;
    let strangers = Office::open()?;
    let list = office.listed("a", &["a.test"])?;
    let tls = format!(
        "certificates: [{list}], client_ca: {}",
        office.ca().display()
    );
    let platform = front("http1, h2", tls).await?;
    let url = format!("https://a.test:{}/", platform.address()?.port());
    let curl = async |who: Option<&Office>| -> Result<String> {
        let to = format!(
            "a.test:{}:{}",
            platform.address()?.port(),
            platform.address()?.ip()
        );
        let ca = office.ca().display().to_string();
        let mut launch = Tool::Curl
            .launch()?
            .args(["-sS", "--resolve", &to, "--cacert", &ca]);
        if let Some(who) = who {
            let files = who
                .authority
                .issue(&["client.test"])?
                .write(who.dir.path(), "client")?;
            launch = launch
                .args(["--cert"])
                .arg(files.cert)
                .args(["--key"])
                .arg(files.key);
        }
        launch
            .args([url.as_str()])
            .run_ok(std::time::Duration::from_secs(10))
            .await
    };
    ensure!(
        curl(Some(&office)).await?.contains("r1-web-1"),
        "a known client"
    );
    ensure!(
        curl(None).await.is_err(),
        "a client without a certificate was served"
    );
    ensure!(
        curl(Some(&strangers)).await.is_err(),
        "a stranger's certificate was taken"
    );
    Ok(())
}

/// A regional tier that speaks TLS to one server whose certificate says `inner.test`.
async fn upstream(office: &Office, alpn: &[&str], extra: String) -> Result<(Server, Platform)> {
    let config = office.authority.issue(&["inner.test"])?.server(alpn)?;
    let server = Server::builder("s").tls(config).start().await?;
    let platform = Topology::regional()
        .external_pool("web", &[server.address()], Upstream::Http1)
        .tune_regional(move |file| {
            file.extra = "access_log: { path: \"-\", sample: 100% }\n".to_owned();
            for pool in &mut file.pools {
                pool.health_check = Some("enabled: false".to_owned());
                pool.extra = extra.clone();
            }
        })
        .start()
        .await?;
    Ok((server, platform))
}

#[tokio::test]
async fn a_servers_certificate_is_verified() -> Result<()> {
    let (office, strangers) = (Office::open()?, Office::open()?);
    let ca = office.ca().display().to_string();
    let other = strangers.ca().display().to_string();
    for (tls, status) in [
        (format!("{{ ca: {ca}, server_name: inner.test }}"), 200),
        (format!("{{ ca: {ca}, server_name: other.test }}"), 502),
        (format!("{{ ca: {other}, server_name: inner.test }}"), 502),
        (format!("{{ ca: {ca} }}"), 502),
        ("{ verify: false }".to_owned(), 200),
    ] {
        let (_server, platform) = upstream(&office, &["http/1.1"], format!("tls: {tls}")).await?;
        let answer = Dial::http1(platform.address()?).get("/").await?;
        ensure!(
            answer.status == status,
            "{tls}: {} {}",
            answer.status,
            answer.text()
        );
        if status == 502 {
            let replica = &platform.regions[0].replicas[0];
            strata_tests::eventually(std::time::Duration::from_secs(5), "flag", async || {
                ensure!(
                    replica.output().contains("\"flags\":\"UF\""),
                    "{}",
                    replica.output()
                );
                Ok(())
            })
            .await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn alpn_towards_a_server_settles_its_protocol() -> Result<()> {
    let office = Office::open()?;
    let ca = office.ca().display().to_string();
    let tls = format!("tls: {{ ca: {ca}, server_name: inner.test }}");
    for (alpn, protocol, version) in [
        (&["h2", "http/1.1"][..], "auto", "HTTP/2.0"),
        (&["http/1.1"], "auto", "HTTP/1.1"),
        (&["h2", "http/1.1"], "http1", "HTTP/1.1"),
        (&["h2"], "h2", "HTTP/2.0"),
    ] {
        let extra = format!("{tls}\nprotocol: {protocol}");
        let (_server, platform) = upstream(&office, alpn, extra).await?;
        let seen = Dial::http1(platform.address()?)
            .get("/echo")
            .await?
            .json()?;
        ensure!(seen["version"] == version, "{alpn:?} {protocol}: {seen}");
    }
    Ok(())
}

#[tokio::test]
async fn the_tiers_speak_tls_and_know_each_other() -> Result<()> {
    let office = Arc::new(Office::open()?);
    let list = office.listed("regional", &["regional.test"])?;
    for (name, status) in [("regional.test", 200), ("other.test", 502)] {
        let tls = format!("certificates: [{list}]");
        let region = format!(
            "protocol: h2\ntls: {{ ca: {}, server_name: {name} }}",
            office.ca().display()
        );
        let platform = Topology::two_tier()
            .pool("web", 1)
            .tune_regional(move |file| {
                file.front.protocols = "http1, h2".to_owned();
                file.front.tls = Some(tls.clone());
            })
            .tune_global(move |file| {
                file.regions
                    .iter_mut()
                    .for_each(|r| r.extra = region.clone());
            })
            .start()
            .await?;
        for dial in [
            Dial::http1(platform.address()?),
            Dial::h2c(platform.address()?),
        ] {
            let answer = dial.get("/echo").await?;
            ensure!(
                answer.status == status,
                "{name}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    Ok(())
}
