//! Certificates that are replaced while connections live.

use anyhow::{Result, ensure};
use strata_tests::certs::Authority;
use strata_tests::eventually;
use strata_tests::http as client;
use strata_tests::http::Dial;

use crate::bed::{Bed, Plan, SOON};

#[tokio::test]
async fn replaced_certificates_serve_new_handshakes() -> Result<()> {
    let (old, new) = (Authority::new()?, Authority::new()?);
    let bed = Bed::start(1).await?;
    let address = strata_tests::ports::free()?;
    let files = old
        .issue(&["www.example.com"])?
        .write(bed.dir.path(), "www")?;
    // A listener needs a start: a second replica, on the same server.
    let text = bed.text(&Plan::of(1)).replace(
        &format!("{{ name: web, address: \"{}\" }}", bed.address),
        &format!(
            "{{ name: web, address: \"{address}\", tls: {{ certificates: [ {{ certificate: www.crt, key: www.key }} ] }} }}"
        ),
    );
    let admin = strata_tests::ports::free()?;
    let file = bed.dir.path().join("tls.yaml");
    std::fs::write(
        &file,
        text.replace(&bed.admin.to_string(), &admin.to_string()),
    )?;
    let launch =
        strata_tests::process::Launch::new("tls", strata_tests::tools::program("regional-lb")?);
    let mut process = launch.args(["run", "--config"]).arg(&file).start()?;
    process.wait_http(admin, "/readyz", 200, SOON).await?;
    let by = |authority: &Authority| -> Result<Dial> {
        Ok(Dial::tls(
            address,
            "www.example.com",
            authority.client(&["http/1.1"])?,
        ))
    };
    let mut conn = by(&old)?.connect().await?;
    let ask = || http::Request::get("/").body(client::empty());
    ensure!(conn.send(ask()?).await?.status == 200);
    ensure!(
        by(&new)?.get("/").await.is_err(),
        "the control: not trusted yet"
    );
    // A key without its certificate is refused whole, and the old pair serves on.
    let fresh = new.issue(&["www.example.com"])?;
    std::fs::write(&files.key, &fresh.key_pem)?;
    process
        .wait_line("new certificates are refused", SOON)
        .await?;
    ensure!(by(&old)?.get("/").await?.status == 200);
    std::fs::write(&files.cert, &fresh.cert_pem)?;
    eventually(SOON, "the new certificate", async || {
        ensure!(by(&new)?.get("/").await?.status == 200);
        Ok(())
    })
    .await?;
    ensure!(by(&old)?.get("/").await.is_err(), "the old one is gone");
    ensure!(
        conn.send(ask()?).await?.status == 200,
        "open connections live on"
    );
    Ok(())
}
