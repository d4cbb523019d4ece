//! What is in the image, and what is not.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;
use strata_tests::process::Launch;
use strata_tests::tools;

use crate::engine::{DOCUMENTATION, Engine, IMAGE, SOURCE};
use crate::own_network::done_in_own_network;
use crate::pods::SOON;

#[tokio::test]
async fn the_containerfile_is_sound() -> Result<()> {
    let hadolint = tools::python().await?.with_file_name("hadolint");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/image/Containerfile");
    let check = |file: &Path| {
        Launch::new("hadolint", &hadolint)
            .args(["--no-color"])
            .arg(file)
    };
    check(&file).run_ok(SOON).await?;
    // The control.
    let dir = tempfile::tempdir()?;
    let bad = dir.path().join("Containerfile");
    std::fs::write(
        &bad,
        std::fs::read_to_string(&file)?.replace("--no-install-recommends ", ""),
    )?;
    let (status, said) = check(&bad).run(SOON).await?;
    ensure!(!status.success() && said.contains("DL3015"), "{said}");
    Ok(())
}

#[test]
fn the_image_is_small_reproducible_and_has_no_shell() -> Result<()> {
    if done_in_own_network("image::the_image_is_small_reproducible_and_has_no_shell")? {
        return Ok(());
    }
    let engine = Engine::start()?;
    let first = engine.build(IMAGE)?;
    ensure!(
        first == engine.build("localhost/strata:again")?,
        "two builds of the same differ"
    );

    let about: Value = serde_json::from_str(&engine.run(&["image", "inspect", IMAGE])?)?;
    let about = &about[0];
    ensure!(about["User"] == "65532:65532", "{about}");
    let labels = &about["Labels"];
    for label in ["title", "version", "revision", "licenses", "base.name"] {
        ensure!(
            labels[format!("org.opencontainers.image.{label}")].is_string(),
            "{label}: {labels}"
        );
    }

    for (label, place) in [("source", SOURCE), ("documentation", DOCUMENTATION)] {
        ensure!(
            labels[format!("org.opencontainers.image.{label}")] == place,
            "{label}: {labels}"
        );
    }

    let run = |args: &[&str]| {
        let plain = [
            "run",
            "--rm",
            "--network",
            "none",
            "--read-only",
            "--cap-drop",
            "all",
        ];
        engine.run(&[&plain[..], args].concat())
    };
    for program in ["global-lb", "regional-lb", "lbctl"] {
        let said = run(&[IMAGE, &format!("/usr/bin/{program}"), "--version"])?;
        ensure!(said.contains(env!("CARGO_PKG_VERSION")), "{said}");
    }
    let plugin = run(&[IMAGE, "/usr/bin/kubectl-lb", "--help"])?;
    ensure!(plugin.contains("region"), "{plugin}");
    let refused = run(&[IMAGE, "/bin/sh", "-c", "true"]).expect_err("there is a shell");
    ensure!(refused.to_string().contains("no such file"), "{refused}");

    bill_of_materials(&engine)
}

/// It names what is linked in, and where that came from.
fn bill_of_materials(engine: &Engine) -> Result<()> {
    engine.run(&["create", "--name", "look", IMAGE])?;
    let to = engine.dir().join("sbom.json");
    let path = to.display().to_string();
    engine.run(&["cp", "look:/usr/share/strata/sbom.cdx.json", &path])?;
    let bill: Value = serde_json::from_str(&std::fs::read_to_string(to)?)?;
    ensure!(bill["bomFormat"] == "CycloneDX", "{}", bill["bomFormat"]);
    let components = bill["components"].as_array().cloned().unwrap_or_default();
    let named = |name: &str| {
        components
            .iter()
            .find(|component| component["name"] == name)
    };
    for (name, scope) in [
        ("pingora-core", "required"),
        ("rustls", "required"),
        ("serde_derive", "excluded"),
    ] {
        let component = named(name).ok_or_else(|| anyhow::anyhow!("no {name}"))?;
        ensure!(
            component["scope"] == scope && component["hashes"][0]["alg"] == "SHA-256",
            "{component}"
        );
        ensure!(
            component["licenses"][0]["expression"].is_string(),
            "{component}"
        );
    }
    ensure!(named("proptest").is_none(), "tests are not shipped");
    beside_crates(&components)
}

/// Static programs show nobody what C library they have; the bill does.
fn beside_crates(components: &[Value]) -> Result<()> {
    let depended: Vec<&Value> = components
        .iter()
        .filter(|one| !one["purl"].as_str().unwrap_or("").starts_with("pkg:cargo/"))
        .collect();
    for name in ["glibc", "libgcc", "rust-std", "ca-certificates"] {
        let one = depended.iter().find(|one| one["name"] == name);
        let one = one.ok_or_else(|| anyhow::anyhow!("no {name}"))?;
        let version = one["version"].as_str().unwrap_or_default();
        ensure!(
            version.starts_with(|first: char| first.is_ascii_digit()),
            "{one}"
        );
        ensure!(one["licenses"][0]["expression"].is_string(), "{one}");
    }
    ensure!(depended.len() == 4, "{depended:?}");
    Ok(())
}
