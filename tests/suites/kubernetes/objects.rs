//! Objects of a rendered overlay.

use anyhow::{Context, Result, ensure};
use serde::de::Deserialize;
use serde_json::Value;

/// The objects, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Objects(pub(crate) Vec<Value>);

/// A Deployment or DaemonSet, its pod, and the first of its containers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload<'a> {
    pub(crate) object: &'a Value,
    pub(crate) pod: &'a Value,
    pub(crate) container: &'a Value,
}

// === impl Objects ===

impl Objects {
    /// Reads YAML of several documents.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let mut objects = Vec::new();
        for document in serde_yaml::Deserializer::from_str(text) {
            let object = Value::deserialize(document)?;
            ensure!(object["kind"].is_string(), "no object: {object}");
            objects.push(object);
        }
        Ok(Self(objects))
    }

    /// Those of a kind.
    pub(crate) fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    /// Those of a kind in the namespace of another object.
    pub(crate) fn beside<'a>(
        &'a self,
        other: &'a Value,
        kind: &'a str,
    ) -> impl Iterator<Item = &'a Value> {
        self.of(kind)
            .filter(move |object| object["metadata"]["namespace"] == other["metadata"]["namespace"])
    }

    /// The one of a kind and name beside another object.
    pub(crate) fn named<'a>(
        &'a self,
        other: &'a Value,
        kind: &'a str,
        name: &Value,
    ) -> Option<&'a Value> {
        self.beside(other, kind)
            .find(|object| object["metadata"]["name"] == *name)
    }

    /// All that runs pods.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = Workload<'_>> {
        let all = self.0.iter();
        all.filter(|object| object["kind"] == "Deployment" || object["kind"] == "DaemonSet")
            .map(|object| {
                let pod = &object["spec"]["template"]["spec"];
                let container = &pod["containers"][0];
                Workload {
                    object,
                    pod,
                    container,
                }
            })
    }

    /// Those that run our programs.
    pub(crate) fn ours(&self) -> impl Iterator<Item = Workload<'_>> {
        self.workloads().filter(|workload| workload.is_ours())
    }

    /// Sets, or with `None` removes, a place in the first object of a kind whose name ends so.
    pub(crate) fn change(
        &mut self,
        kind: &str,
        name: &str,
        pointer: &str,
        value: Option<Value>,
    ) -> Result<()> {
        // The names of generated ConfigMaps end with a hash.
        let ends = |object: &Value| {
            let own = text(&object["metadata"]["name"]);
            let is_named = own.ends_with(name) || kind == "ConfigMap" && own.contains(name);
            object["kind"] == kind && is_named
        };
        let at = self.0.iter().position(ends);
        let at = at.with_context(|| format!("no {kind} {name}"))?;
        if pointer.is_empty() && value.is_none() {
            self.0.remove(at);
            return Ok(());
        }
        let object = self.0.get_mut(at).context("gone")?;
        let (parent, key) = pointer
            .rsplit_once('/')
            .context("a pointer begins with /")?;
        let key = key.replace("~1", "/");
        let parent = object
            .pointer_mut(parent)
            .with_context(|| format!("{kind} {name} has no {parent}"))?;
        match (parent, value) {
            (Value::Object(map), Some(value)) => drop(map.insert(key, value)),
            (Value::Object(map), None) => {
                map.remove(&key).context("nothing to remove")?;
            }
            (Value::Array(list), Some(value)) if key == "-" => list.push(value),
            (Value::Array(list), Some(value)) => {
                *list.get_mut(key.parse::<usize>()?).context("no entry")? = value;
            }
            (Value::Array(list), None) => drop(list.remove(key.parse()?)),
            (other, _) => anyhow::bail!("{pointer}: {other}"),
        }
        Ok(())
    }
}

// === impl Workload ===

impl<'a> Workload<'a> {
    /// Whether it runs one of our programs.
    pub(crate) fn is_ours(&self) -> bool {
        self.container["name"] == "lb"
    }

    pub(crate) fn is_deployment(&self) -> bool {
        self.object["kind"] == "Deployment"
    }

    /// Whether it is the regional tier.
    pub(crate) fn is_regional(&self) -> bool {
        self.labels()["app.kubernetes.io/component"] == "regional-lb"
    }

    /// Whether its pods use the machine's network.
    pub(crate) fn is_on_host(&self) -> bool {
        self.pod["hostNetwork"] == true
    }

    /// The labels of its pods.
    pub(crate) fn labels(&self) -> &'a Value {
        &self.object["spec"]["template"]["metadata"]["labels"]
    }

    /// Where a volume is mounted.
    pub(crate) fn mount(&self, path: &str) -> Option<&'a Value> {
        list(&self.container["volumeMounts"])
            .iter()
            .find(|mount| mount["mountPath"] == path)
    }

    /// The volume that is mounted there.
    pub(crate) fn volume_at(&self, path: &str) -> Option<&'a Value> {
        let name = &self.mount(path)?["name"];
        list(&self.pod["volumes"])
            .iter()
            .find(|volume| volume["name"] == *name)
    }

    /// The ConfigMap that is mounted there.
    pub(crate) fn config<'o>(&self, objects: &'o Objects, path: &str) -> Option<&'o Value>
    where
        'a: 'o,
    {
        let name = &self.volume_at(path)?["configMap"]["name"];
        objects.named(self.object, "ConfigMap", name)
    }
}

/// What an object is called in messages.
pub(crate) fn name(object: &Value) -> String {
    let meta = &object["metadata"];
    format!(
        "{} {}/{}",
        text(&object["kind"]),
        text(&meta["namespace"]),
        text(&meta["name"])
    )
}

/// A text, empty when it is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The entries of a list, none when it is none.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether a selector's `matchLabels` choose something with these labels. An empty one chooses all.
pub(crate) fn selects(match_labels: &Value, labels: &Value) -> bool {
    let wanted = match_labels.as_object();
    wanted.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels[key] == *value))
}
