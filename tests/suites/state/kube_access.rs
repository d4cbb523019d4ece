//! Tokens that change, rights that are missing, TLS, and stores that are mixed up.

use anyhow::{Result, ensure};
use serde_json::json;
use strata_tests::certs;
use strata_tests::kube::{ApiServer, Verb};

use crate::bed::{Plan, draft};
use crate::kube_bed::{Kube, MAPS, NAME, NAMESPACE, complains, role};

const ALL: [Verb; 4] = [Verb::Get, Verb::List, Verb::Watch, Verb::Update];

#[tokio::test]
async fn a_token_that_is_renewed_is_read_again() -> Result<()> {
    let kube = Kube::start().await?;
    let bed = kube.plan(2)?.start().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    bed.learns(1, "r1", "drain").await?;
    kube.server.allow("second", role(&ALL));
    kube.server.forbid("first");
    kube.server.drop_watches(false);
    let refused = bed.order(0, &draft("r2", "drain"), 503).await?;
    ensure!(
        refused["error"]
            .as_str()
            .unwrap_or_default()
            .contains("token (401)"),
        "{refused}"
    );
    complains(&bed, 1, "token (401)").await?;
    ensure!(
        bed.knows(1, "r1").await?.as_deref() == Some("drain"),
        "what is known stays"
    );
    kube.show("second")?;
    bed.order(0, &draft("r2", "drain"), 200).await?;
    complains(&bed, 0, "").await?;
    bed.learns(1, "r2", "drain").await
}

#[tokio::test]
async fn a_missing_right_is_told_before_it_is_needed() -> Result<()> {
    let kube = Kube::start().await?;
    kube.server
        .allow("first", role(&[Verb::Get, Verb::List, Verb::Watch]));
    let bed = kube.plan(1)?.start().await?;
    complains(&bed, 0, "cannot update resource").await?;
    complains(&bed, 0, "give that account a Role with this verb").await?;
    let refused = bed.order(0, &draft("r1", "drain"), 503).await?;
    let error = refused["error"].as_str().unwrap_or_default();
    ensure!(
        error.contains("system:serviceaccount:lb:strata") && error.contains("Role"),
        "{refused}"
    );
    kube.server.allow("first", role(&ALL));
    bed.order(0, &draft("r1", "drain"), 200).await?;
    complains(&bed, 0, "").await?;
    // The same for reading.
    kube.server.allow("first", role(&[Verb::Get, Verb::Update]));
    kube.server.drop_watches(true);
    complains(&bed, 0, "cannot list resource").await
}

#[tokio::test]
async fn the_role_of_the_documentation_lets_nobody_write_another_config_map() -> Result<()> {
    let kube = Kube::start().await?;
    kube.server.put(
        &MAPS,
        NAMESPACE,
        json!({ "metadata": { "name": "strata-config" } }),
    )?;
    let state = |name: &str| {
        let file = kube.dir.path().join("config").display().to_string();
        format!(
            "store: kubernetes, directory: \"@\", kubernetes: {{ kubeconfig: \"{file}\", name: {name} }}"
        )
    };
    kube.plan(1)?;
    let plan = Plan {
        replicas: 1,
        state: state("strata-config"),
        peers: false,
        ..Plan::default()
    };
    let bed = plan.start().await?;
    complains(&bed, 0, "(403)").await?;
    bed.order(0, &draft("r1", "drain"), 503).await?;
    Ok(())
}

#[tokio::test]
async fn another_places_orders_are_left_alone() -> Result<()> {
    let kube = Kube::start().await?;
    let foreign = json!({ "metadata": { "name": NAME, "annotations": { "strata/place": "regional/eu" } }, "data": { "a": "b" } });
    kube.server.put(&MAPS, NAMESPACE, foreign)?;
    let bed = kube.plan(1)?.start().await?;
    complains(&bed, 0, "the orders of regional/eu").await?;
    let refused = bed.order(0, &draft("r1", "drain"), 503).await?;
    ensure!(
        refused["error"]
            .as_str()
            .unwrap_or_default()
            .contains("state.kubernetes.name"),
        "{refused}"
    );
    ensure!(kube.map()["data"] == json!({ "a": "b" }));
    Ok(())
}

#[tokio::test]
async fn tls_is_checked_against_the_kubeconfigs_authority() -> Result<()> {
    let (authority, other) = (certs::Authority::new()?, certs::Authority::new()?);
    let address = strata_tests::ports::free()?.ip().to_string();
    let identity = authority.issue(&[&address])?;
    let server = ApiServer::start_tls(identity.server(&["http/1.1"])?).await?;
    server.put(&MAPS, NAMESPACE, json!({ "metadata": { "name": NAME } }))?;
    let dir = tempfile::tempdir()?;
    for (name, authority, is_good) in [("right", &authority, true), ("wrong", &other, false)] {
        let ca = dir.path().join(format!("{name}.pem"));
        std::fs::write(&ca, authority.pem())?;
        let file = server.kubeconfig(&dir.path().join(name), NAMESPACE, "token: a", Some(&ca))?;
        let state = format!(
            "store: kubernetes, kubernetes: {{ kubeconfig: \"{}\" }}",
            file.display()
        );
        let bed = Plan {
            replicas: 1,
            state,
            peers: false,
            ..Plan::default()
        }
        .start()
        .await?;
        if is_good {
            bed.order(0, &draft("r1", "drain"), 200).await?;
        } else {
            complains(&bed, 0, "ertificate").await?;
            bed.order(0, &draft("r2", "drain"), 503).await?;
        }
    }
    Ok(())
}
