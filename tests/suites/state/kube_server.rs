//! The API server of the tests is what the library for Kubernetes expects one to be, and misbehaves as told.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{
    DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent,
    WatchParams,
};
use kube::core::Status;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config, Error};
use serde_json::{Value, json};
use strata_tests::kube::{ApiServer, Fault, Resource, User, Verb};
use strata_tests::{certs, eventually};
use tokio::time::timeout;

use crate::bed::SOON;

const MAPS: Resource = Resource::CONFIG_MAPS;

fn client(server: &ApiServer, token: Option<&str>) -> Result<Client> {
    let mut config = Config::new(server.url().parse()?);
    config.default_namespace = "lb".to_owned();
    config.default_retry = false;
    config.auth_info.token = token.map(|token| token.to_owned().into());
    Ok(Client::try_from(config)?)
}

fn maps(server: &ApiServer) -> Result<Api<ConfigMap>> {
    Ok(Api::default_namespaced(client(server, None)?))
}

fn map(name: &str, text: &str) -> Value {
    json!({ "metadata": { "name": name, "labels": { "app": "x" } }, "data": { "key": text } })
}

fn typed(value: Value) -> Result<ConfigMap> {
    Ok(serde_json::from_value(value)?)
}

fn version(map: &ConfigMap) -> String {
    map.metadata.resource_version.clone().unwrap_or_default()
}

/// The status that a call is refused with.
fn refused<T>(done: kube::Result<T>) -> Result<Status> {
    match done {
        Err(Error::Api(status)) => Ok(*status),
        Err(other) => bail!("another error: {other}"),
        Ok(_) => bail!("not refused"),
    }
}

async fn next<T>(
    stream: &mut (impl Stream<Item = kube::Result<WatchEvent<T>>> + Unpin),
) -> Result<WatchEvent<T>> {
    let said = timeout(SOON, stream.next()).await?;
    Ok(said.context("the stream is over")??)
}

#[tokio::test]
async fn writes_are_optimistic_and_refusals_are_word_by_word() -> Result<()> {
    let server = ApiServer::start().await?;
    let (api, post) = (maps(&server)?, PostParams::default());
    let one = api.create(&post, &typed(map("a", "1"))?).await?;
    let twice = refused(api.create(&post, &typed(map("a", "1"))?).await)?;
    ensure!(
        twice.is_already_exists() && twice.message == "configmaps \"a\" already exists",
        "{twice:?}"
    );
    let mut next = one.clone();
    next.data = Some([("key".to_owned(), "2".to_owned())].into());
    let two = api.replace("a", &post, &next).await?;
    ensure!(version(&two) > version(&one) && two.metadata.uid == one.metadata.uid);
    let late = refused(api.replace("a", &post, &next).await)?;
    ensure!(
        late.is_conflict() && late.message.contains("the object has been modified"),
        "{late:?}"
    );
    ensure!(
        version(&api.replace("a", &post, &two).await?) == version(&two),
        "the same is no change"
    );
    let patch = Patch::Merge(json!({ "data": { "more": "3" } }));
    let three = api.patch("a", &PatchParams::default(), &patch).await?;
    ensure!(three.data.as_ref().is_some_and(|data| data.len() == 2));
    let only = |version: String| DeleteParams {
        preconditions: Some(Preconditions {
            resource_version: Some(version),
            uid: None,
        }),
        ..DeleteParams::default()
    };
    let late = refused(api.delete("a", &only(version(&two))).await)?;
    ensure!(
        late.is_conflict() && late.message.contains("in the precondition"),
        "{late:?}"
    );
    api.delete("a", &only(version(&three))).await?;
    let gone = refused(api.get("a").await)?;
    ensure!(
        gone.is_not_found() && gone.message == "configmaps \"a\" not found",
        "{gone:?}"
    );
    let wrong = refused(api.create(&post, &typed(map("A_b", ""))?).await)?;
    ensure!(wrong.code == 422, "{wrong:?}");
    let large = refused(
        api.create(&post, &typed(map("b", &"x".repeat(1 << 20)))?)
            .await,
    )?;
    ensure!(
        large.code == 422 && large.message.contains("Too long"),
        "{large:?}"
    );
    Ok(())
}

#[tokio::test]
async fn pages_are_of_one_moment_until_that_is_compacted() -> Result<()> {
    let server = ApiServer::start().await?;
    for at in 0..5 {
        server.put(&MAPS, "lb", map(&format!("m{at}"), "1"))?;
    }
    server.put(&MAPS, "other", map("elsewhere", "1"))?;
    let api = maps(&server)?;
    let mut page = ListParams::default().limit(2);
    let first = api.list(&page).await?;
    ensure!(first.items.len() == 2 && first.metadata.remaining_item_count == Some(3));
    server.remove(&MAPS, "lb", "m4");
    server.put(&MAPS, "lb", map("m9", "1"))?;
    page.continue_token = first.metadata.continue_.clone();
    let second = api.list(&page).await?;
    ensure!(second.metadata.resource_version == first.metadata.resource_version);
    page.continue_token = second.metadata.continue_.clone();
    let last = api.list(&page).await?;
    ensure!(last.items.len() == 1 && last.items[0].metadata.name.as_deref() == Some("m4"));
    ensure!(last.metadata.continue_.is_none());
    server.compact();
    let late = refused(api.list(&page).await)?;
    ensure!(late.code == 410 && late.reason == "Expired", "{late:?}");
    let none = api.list(&ListParams::default().labels("app=y")).await?;
    let all = Api::<ConfigMap>::all(client(&server, None)?)
        .list(&ListParams::default().labels("app in (x, z)"))
        .await?;
    ensure!((none.items.len(), all.items.len()) == (0, 6));
    let slices: Api<EndpointSlice> = Api::default_namespaced(client(&server, None)?);
    let label = json!({ "kubernetes.io/service-name": "app" });
    for name in ["app-1", "app-2"] {
        let slice = json!({ "metadata": { "name": name, "labels": label }, "addressType": "IPv4", "endpoints": [] });
        server.put(&Resource::ENDPOINT_SLICES, "lb", slice)?;
    }
    let found = slices
        .list(&ListParams::default().labels("kubernetes.io/service-name=app"))
        .await?;
    ensure!(found.items.len() == 2);
    let named = slices
        .list(&ListParams::default().fields("metadata.name=app-2"))
        .await?;
    ensure!(named.items.len() == 1);
    Ok(())
}

#[tokio::test]
async fn a_watch_tells_each_change_marks_where_it_is_and_ends_in_time() -> Result<()> {
    let server = ApiServer::start().await?;
    let api = maps(&server)?;
    server.put(&MAPS, "lb", map("a", "1"))?;
    let from = server.version().to_string();
    let params = WatchParams::default().labels("app=x").timeout(1);
    let mut stream = pin!(api.watch(&params, &from).await?);
    server.put(&MAPS, "lb", map("b", "1"))?;
    server.put(&MAPS, "lb", map("b", "2"))?;
    let mut other = map("b", "2");
    other["metadata"]["labels"]["app"] = json!("y");
    server.put(&MAPS, "lb", other)?;
    ensure!(matches!(next(&mut stream).await?, WatchEvent::Added(_)));
    ensure!(matches!(next(&mut stream).await?, WatchEvent::Modified(_)));
    ensure!(
        matches!(next(&mut stream).await?, WatchEvent::Deleted(_)),
        "it is none of ours any more"
    );
    server.put(
        &Resource::SERVICES,
        "lb",
        json!({ "metadata": { "name": "s" } }),
    )?;
    let WatchEvent::Bookmark(mark) = next(&mut stream).await? else {
        bail!("a bookmark before the end");
    };
    ensure!(mark.metadata.resource_version == server.version().to_string());
    ensure!(
        timeout(SOON, stream.next()).await?.is_none(),
        "it ends when asked to"
    );
    // Without a version, what is there comes first.
    let mut stream = pin!(api.watch(&WatchParams::default(), "0").await?);
    ensure!(matches!(next(&mut stream).await?, WatchEvent::Added(_)));
    server.bookmark();
    ensure!(matches!(next(&mut stream).await?, WatchEvent::Added(_)));
    ensure!(matches!(next(&mut stream).await?, WatchEvent::Bookmark(_)));
    let initial = WatchParams {
        send_initial_events: true,
        ..WatchParams::default()
    };
    let refusal = refused(api.watch(&initial, "0").await.map(drop))?;
    ensure!(refusal.code == 422, "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn a_watch_breaks_in_each_way_that_it_can() -> Result<()> {
    let server = ApiServer::start().await?;
    let api = maps(&server)?;
    let params = WatchParams::default();
    let old = server.version().to_string();
    server.put(&MAPS, "lb", map("a", "1"))?;
    server.compact();
    let mut gone = pin!(api.watch(&params, &old).await?);
    let WatchEvent::Error(status) = next(&mut gone).await? else {
        bail!("an error");
    };
    ensure!(
        status.code == 410 && status.message.starts_with("too old resource version"),
        "{status:?}"
    );
    server.fault(Some(Verb::Watch), Fault::Status(410, None));
    ensure!(refused(api.watch(&params, &old).await.map(drop))?.code == 410);
    server.heal();
    for in_the_middle in [true, false] {
        let now = server.version().to_string();
        let mut stream = pin!(api.watch(&params, &now).await?);
        eventually(SOON, "a watch", async || {
            ensure!(server.watching() == 1);
            Ok(())
        })
        .await?;
        server.drop_watches(in_the_middle);
        let end = timeout(SOON, stream.next()).await?;
        ensure!(end.is_none() || end.is_some_and(|said| said.is_err()));
    }
    // A version of before a restart with older data: silence, until that version is reached.
    let high = (server.version() + 2).to_string();
    server.begin_anew();
    let mut stream = pin!(api.watch(&params, &high).await?);
    server.put(&MAPS, "lb", map("b", "1"))?;
    ensure!(
        timeout(Duration::from_millis(300), stream.next())
            .await
            .is_err()
    );
    let late = ListParams::default()
        .at(&high)
        .matching(kube::api::VersionMatch::NotOlderThan);
    ensure!(refused(api.list(&late).await)?.code == 504);
    Ok(())
}

#[tokio::test]
async fn tokens_and_roles_are_asked_for() -> Result<()> {
    let server = ApiServer::start().await?;
    server.allow(
        "good",
        User::new("strata", "lb", &MAPS, &[Verb::List, Verb::Watch]),
    );
    let all = ListParams::default();
    let nobody = Api::<ConfigMap>::default_namespaced(client(&server, None)?);
    let status = refused(nobody.list(&all).await)?;
    ensure!(
        status.code == 401 && status.message == "Unauthorized",
        "{status:?}"
    );
    let strata = client(&server, Some("good"))?;
    Api::<ConfigMap>::default_namespaced(strata.clone())
        .list(&all)
        .await?;
    let status = refused(
        Api::<ConfigMap>::default_namespaced(strata.clone())
            .get("a")
            .await,
    )?;
    let words = "configmaps \"a\" is forbidden: User \"system:serviceaccount:lb:strata\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"lb\"";
    ensure!(
        status.message == words && status.is_forbidden(),
        "{}",
        status.message
    );
    let status = refused(Api::<ConfigMap>::all(strata).list(&all).await)?;
    ensure!(
        status.message.ends_with("at the cluster scope"),
        "{}",
        status.message
    );
    Ok(())
}

#[tokio::test]
async fn tls_is_spoken_where_it_is_wanted() -> Result<()> {
    let authority = certs::Authority::new()?;
    let identity = authority.issue(&["api.internal", "127.0.0.1"])?;
    let server = ApiServer::start_tls(identity.server(&["http/1.1"])?).await?;
    let dir = tempfile::tempdir()?;
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    let file = server.kubeconfig(&dir.path().join("config"), "lb", "token: a", Some(&ca))?;
    let file = kube::config::Kubeconfig::read_from(file)?;
    let mut config =
        Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default()).await?;
    config.tls_server_name = Some("api.internal".to_owned());
    Api::<ConfigMap>::default_namespaced(Client::try_from(config)?)
        .list(&ListParams::default())
        .await?;
    Ok(())
}

/// The number in the documentation of our own follower, and why there is one.
#[tokio::test]
async fn the_librarys_watcher_is_content_but_asks_without_end_when_streams_end_at_once()
-> Result<()> {
    let server = ApiServer::start().await?;
    server.put(&MAPS, "lb", map("a", "1"))?;
    let mut events = pin!(watcher(
        maps(&server)?,
        watcher::Config::default().page_size(1)
    ));
    server.put(&MAPS, "lb", map("b", "1"))?;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let event = timeout(SOON, events.next()).await?.context("over")??;
        seen.push(event.to_string());
    }
    ensure!(
        seen == ["Init", "InitApply(a)", "InitApply(b)", "InitDone"],
        "{seen:?}"
    );
    server.put(&MAPS, "lb", map("c", "1"))?;
    let event = timeout(SOON, events.next()).await?.context("over")??;
    ensure!(
        matches!(&event, Event::Apply(map) if map.metadata.name.as_deref() == Some("c")),
        "{event}"
    );
    server.fault(Some(Verb::Watch), Fault::EndAtOnce);
    server.drop_watches(false);
    let before = server.asked(Verb::Watch);
    let _ = timeout(Duration::from_secs(1), events.next()).await;
    let asked = server.asked(Verb::Watch) - before;
    eprintln!("asked {asked} times in a second");
    ensure!(
        asked > 100,
        "{asked}: our own follower is no longer needed for that"
    );
    Ok(())
}
