//! Renders overlays as `kubectl apply -k` does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::process::Launch;
use strata_tests::tools;
use tokio::sync::OnceCell;

use crate::objects::Objects;

const SOON: Duration = Duration::from_secs(30);
/// Overlays that are shared by others, and not for use by themselves.
const TIERS: [&str; 2] = ["global", "regional"];
/// Components that stand beside each other; host-network takes the place of some of what the others change.
const TOGETHER: [&str; 6] = [
    "hpa",
    "monitoring",
    "discovery",
    "tls",
    "state-store",
    "ipv6",
];

/// A rendered overlay.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    pub(crate) objects: Objects,
}

/// Every overlay of `k8s/overlays` by its name, and each component on a minimal overlay as `minimal/TIER-COMPONENT`.
pub(crate) async fn all() -> Result<&'static BTreeMap<String, Rendered>> {
    static ALL: OnceCell<BTreeMap<String, Rendered>> = OnceCell::const_new();
    ALL.get_or_try_init(render_all).await
}

/// One of them.
pub(crate) async fn one(name: &str) -> Result<&'static Rendered> {
    all()
        .await?
        .get(name)
        .with_context(|| format!("no overlay {name}"))
}

/// The directory `k8s`.
pub(crate) fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s")
}

/// The names of a directory's directories.
pub(crate) fn dirs(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Renders a directory.
pub(crate) async fn build(dir: &Path) -> Result<String> {
    let kubectl = tools::python().await?.with_file_name("kubectl");
    let launch = Launch::new("kubectl", kubectl).args(["kustomize"]);
    launch.arg(dir).run_ok(SOON).await
}

async fn render_all() -> Result<BTreeMap<String, Rendered>> {
    let copy = tempfile::tempdir()?;
    copy_tree(&source(), copy.path())?;
    let mut names: Vec<String> = dirs(&source().join("overlays"))?;
    names.extend(minimal_overlays(copy.path())?);
    let mut all = BTreeMap::new();
    for name in names {
        let text = build(&copy.path().join("overlays").join(&name)).await?;
        let objects = Objects::read(&text).with_context(|| name.clone())?;
        all.insert(name, Rendered { text, objects });
    }
    ensure!(all.contains_key("demo"), "{:?}", all.keys());
    Ok(all)
}

/// Writes overlays with nothing but a base, a component and what each overlay has to bring.
fn minimal_overlays(copy: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut sets: Vec<(String, Vec<String>)> = vec![("nothing".to_owned(), Vec::new())];
    for component in dirs(&source().join("components"))? {
        sets.push((component.clone(), vec![component]));
    }
    sets.push(("together".to_owned(), TOGETHER.map(str::to_owned).to_vec()));
    let entry = ["host-network", "tls", "state-store", "discovery", "ipv6"];
    sets.push(("entry".to_owned(), entry.map(str::to_owned).to_vec()));
    for tier in TIERS {
        for (set, components) in &sets {
            let name = format!("minimal/{tier}-{set}");
            let dir = copy.join("overlays").join(&name);
            std::fs::create_dir_all(&dir)?;
            let like = if tier == "global" {
                "global"
            } else {
                "region-eu"
            };
            let like = copy.join("overlays").join(like);
            copy_tree(&like.join("pools"), &dir.join("pools"))?;
            if tier == "regional" {
                std::fs::copy(like.join("region.part.yaml"), dir.join("region.part.yaml"))?;
            }
            std::fs::write(
                dir.join("kustomization.yaml"),
                minimal(tier, components, &dir.join("pools"))?,
            )?;
            names.push(name);
        }
    }
    Ok(names)
}

fn minimal(tier: &str, components: &[String], pools: &Path) -> Result<String> {
    let mut text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: strata-minimal\n\
         resources: [../../../base/{tier}]\nconfigMapGenerator:\n"
    );
    if tier == "regional" {
        text += "  - { name: lb-bootstrap, behavior: merge, files: [region.part.yaml] }\n";
    }
    text += "  - name: lb-pools\n    options: { disableNameSuffixHash: true }\n    files:\n";
    for file in std::fs::read_dir(pools)? {
        let file = file?.file_name();
        text += &format!("      - pools/{}\n", file.to_string_lossy());
    }
    if !components.is_empty() {
        text += "components:\n";
    }
    for component in components {
        text += &format!("  - ../../../components/{component}\n");
    }
    Ok(text)
}

pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// What a DaemonSet can't be told would be told to nobody.
#[tokio::test]
async fn an_autoscaler_and_one_replica_a_machine_are_refused_together() -> Result<()> {
    let copy = tempfile::tempdir()?;
    copy_tree(&source(), copy.path())?;
    let dir = copy.path().join("overlays/region-eu");
    for (components, is_good) in [
        (["hpa", "host-network"], false),
        (["host-network", "hpa"], false),
        (["host-network", "tls"], true),
    ] {
        let components = components.map(str::to_owned);
        let text = minimal("regional", &components, &dir.join("pools"))?;
        let text = text.replace("../../../", "../../");
        std::fs::write(dir.join("kustomization.yaml"), text)?;
        let built = build(&dir).await;
        ensure!(built.is_ok() == is_good, "{components:?}: {built:?}");
    }
    Ok(())
}

/// A directory that nobody names is dead, or was forgotten.
#[tokio::test]
async fn every_overlay_and_component_renders() -> Result<()> {
    let all = all().await?;
    for overlay in ["global", "region-eu", "region-us", "region-ap", "demo"] {
        ensure!(all.contains_key(overlay), "{overlay} is missing");
    }
    for (name, rendered) in all {
        let workloads =
            rendered.objects.of("Deployment").count() + rendered.objects.of("DaemonSet").count();
        ensure!(workloads > 0, "{name} has nothing that runs");
    }
    Ok(())
}
