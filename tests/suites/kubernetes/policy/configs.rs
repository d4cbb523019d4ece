//! ConfigMaps: a change reaches the pods, by a rollout or live, and never by halves.

use regex::Regex;
use serde_json::Value;

use super::Faults;
use crate::objects::{Objects, Workload, list, name, text};

pub(super) fn mounts(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in objects.workloads() {
        let mut say = |what: String| faults.push(format!("{}: {what}", name(workload.object)));
        for mount in list(&workload.container["volumeMounts"]) {
            // Such a mount keeps its first content for good.
            if !mount["subPath"].is_null() || !mount["subPathExpr"].is_null() {
                say(format!("subPath {mount}"));
            }
        }
        for volume in list(&workload.pod["volumes"]) {
            let map = &volume["configMap"];
            if map.is_object()
                && objects
                    .named(workload.object, "ConfigMap", &map["name"])
                    .is_none()
            {
                say(format!("there is no ConfigMap {}", map["name"]));
            }
            // With `items`, or `optional`, a file could be missing.
            if !map["items"].is_null() || !map["optional"].is_null() {
                say(format!("{volume}"));
            }
            let mounts = list(&workload.container["volumeMounts"]);
            if !mounts.iter().any(|mount| mount["name"] == volume["name"]) {
                say(format!("{} is not mounted", volume["name"]));
            }
        }
        if workload.is_ours() {
            ours(objects, workload, &mut say);
        }
    }
    for map in objects.of("ConfigMap") {
        let is_used = |workload: Workload<'_>| {
            let volumes = list(&workload.pod["volumes"]).iter();
            let env = list(&workload.container["env"]).iter();
            let own = &map["metadata"]["name"];
            workload.object["metadata"]["namespace"] == map["metadata"]["namespace"]
                && (volumes
                    .map(|v| &v["configMap"]["name"])
                    .any(|used| used == own)
                    || env.map(|e| &e["value"]).any(|used| used == own))
        };
        if !objects.workloads().any(is_used) {
            faults.push(format!("{}: nobody uses it", name(map)));
        }
    }
    faults
}

/// The bootstrap's name has a hash, so that a change is a rollout; the pools' has none, so that it is live.
fn ours(objects: &Objects, workload: Workload<'_>, say: &mut impl FnMut(String)) {
    let hashed = Regex::new("-[a-z0-9]{10}$");
    for (path, wanted) in [
        ("/etc/strata/bootstrap", true),
        ("/etc/strata/pools", false),
    ] {
        let Some(map) = workload.config(objects, path) else {
            say(format!("no ConfigMap at {path}"));
            continue;
        };
        let own = text(&map["metadata"]["name"]);
        if hashed.as_ref().is_ok_and(|hashed| hashed.is_match(own)) != wanted {
            say(format!("{own} at {path}"));
        }
    }
    // The program reads the file that is mounted.
    let command: Vec<&str> = list(&workload.container["command"])
        .iter()
        .map(text)
        .collect();
    let file = command
        .last()
        .and_then(|path| path.strip_prefix("/etc/strata/bootstrap/"));
    let map = workload
        .config(objects, "/etc/strata/bootstrap")
        .map_or(&Value::Null, |map| &map["data"]);
    if file.is_none_or(|file| map[file].is_null()) {
        say(format!("{command:?} is not in its ConfigMap"));
    }
    let state = workload
        .volume_at("/var/lib/strata")
        .is_some_and(|volume| volume["emptyDir"].is_object());
    if !state {
        say("no place for orders".to_owned());
    }
}
