//! An etcd that lets in only who is known.

use anyhow::{Result, ensure};
use serde_json::json;
use strata_tests::certs::Authority;
use strata_tests::eventually;

use crate::bed::{SOON, draft};
use crate::etcd_bed::Etcd;

#[tokio::test]
async fn a_user_logs_in_with_the_password_of_the_file() -> Result<()> {
    let etcd = Etcd::start().await?;
    etcd.call(
        "/v3/auth/user/add",
        &json!({ "name": "root", "password": "secret" }),
    )
    .await?;
    etcd.call("/v3/auth/role/add", &json!({ "name": "root" }))
        .await?;
    etcd.call(
        "/v3/auth/user/grant",
        &json!({ "user": "root", "role": "root" }),
    )
    .await?;
    etcd.call("/v3/auth/enable", &json!({})).await?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("password");
    std::fs::write(&file, "wrong\n")?;
    let access = format!(
        "endpoints: [\"{}\"], user: root, password_file: \"{}\"",
        etcd.address,
        file.display()
    );
    let bed = etcd.plan_with(2, &access).start().await?;
    let status = bed.status(0).await?;
    ensure!(
        status["faults"].to_string().contains("log-in as root"),
        "{status}"
    );
    std::fs::write(&file, "secret\n")?;
    eventually(SOON, "the log-in", async || {
        for at in 0..2 {
            let status = bed.status(at).await?;
            ensure!(status["faults"] == json!([]), "{status}");
        }
        Ok(())
    })
    .await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    bed.learns(1, "r1", "drain").await
}

#[tokio::test]
async fn certificates_are_shown_and_checked() -> Result<()> {
    let authority = Authority::new()?;
    let mut etcd = Etcd::new("https", Vec::new())?;
    let dir = tempfile::tempdir()?;
    let ip = etcd.address.ip().to_string();
    let files = authority.issue(&[&ip])?.write(dir.path(), "etcd")?;
    let own = authority.issue(&["g1.example"])?.write(dir.path(), "own")?;
    let (ca, other) = (dir.path().join("ca.pem"), dir.path().join("other.pem"));
    std::fs::write(&ca, authority.pem())?;
    std::fs::write(&other, Authority::new()?.pem())?;
    for (flag, file) in [
        ("--cert-file", &files.cert),
        ("--key-file", &files.key),
        ("--trusted-ca-file", &ca),
    ] {
        etcd.extra.push(format!("{flag}={}", file.display()));
    }
    etcd.extra.push("--client-cert-auth".to_owned());
    etcd.launch().await?;
    let plan = |ca: &std::path::Path, shows: bool| {
        let (cert, key) = (own.cert.display(), own.key.display());
        let shown = format!(", certificate: \"{cert}\", key: \"{key}\"");
        let shown = if shows { shown } else { String::new() };
        let tls = format!("tls: {{ ca: \"{}\"{shown} }}", ca.display());
        etcd.plan_with(1, &format!("endpoints: [\"{}\"], {tls}", etcd.address))
    };
    for (ca, shows) in [(&other, true), (&ca, false)] {
        let bed = plan(ca, shows).start().await?;
        let status = bed.status(0).await?;
        ensure!(
            status["faults"]
                .to_string()
                .contains("no member of etcd answers"),
            "{status}"
        );
        bed.order(0, &draft("r1", "drain"), 503).await?;
    }
    let bed = plan(&ca, true).start().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    eventually(SOON, "no fault", async || {
        let status = bed.status(0).await?;
        ensure!(status["faults"] == json!([]), "{status}");
        Ok(())
    })
    .await
}
