//! The time that a pod has for leaving, against what its own configuration takes.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Faults;
use crate::objects::{Objects, Workload, list, name, text};

/// Left over for what is not counted: the last answers on their way, the container's end.
const SPARE: Duration = Duration::from_secs(10);

/// terminationGracePeriodSeconds >= preStop + lame duck + the longer drain + 10 s.
pub(super) fn grace(objects: &Objects) -> Faults {
    each(objects, |workload| {
        let leaves = Leaving::of(objects, workload)?;
        let sleep = &workload.container["lifecycle"]["preStop"];
        let sleep = match sleep["sleep"]["seconds"].as_u64() {
            Some(seconds) => seconds,
            None if sleep.is_null() => 0,
            // There is no shell in the image.
            None => bail!("preStop {sleep}"),
        };
        let needs = Duration::from_secs(sleep) + leaves.lame_duck + leaves.drain + SPARE;
        let has = workload.pod["terminationGracePeriodSeconds"].as_u64();
        let has = Duration::from_secs(has.unwrap_or(30));
        if has < needs {
            bail!("{has:?} are fewer than {needs:?}");
        }
        Ok(())
    })
}

/// Behind a Service with the policy Local, the last replica of a machine gets what comes there only while its probe passes; on the
/// machine's own address, the probe is how the announcer hears of the end.
pub(super) fn readiness(objects: &Objects) -> Faults {
    each(objects, |workload| {
        let leaves = Leaving::of(objects, workload)?;
        let is_local = objects
            .beside(workload.object, "Service")
            .any(|service| service["spec"]["externalTrafficPolicy"] == "Local");
        if workload.is_on_host() && leaves.readiness > Duration::ZERO {
            bail!(
                "readiness_fail_delay {:?} on the machine's address",
                leaves.readiness
            );
        }
        if is_local && leaves.readiness < leaves.lame_duck {
            bail!(
                "readiness_fail_delay {:?} < lame_duck {:?}",
                leaves.readiness,
                leaves.lame_duck
            );
        }
        Ok(())
    })
}

#[derive(Debug)]
struct Leaving {
    lame_duck: Duration,
    readiness: Duration,
    drain: Duration,
}

// === impl Leaving ===

impl Leaving {
    /// As the ConfigMap of the same overlay says.
    fn of(objects: &Objects, workload: Workload<'_>) -> Result<Self> {
        let map = workload
            .config(objects, "/etc/strata/bootstrap")
            .context("no ConfigMap")?;
        let mut shutdown = Value::Null;
        for part in map["data"].as_object().context("no data")?.values() {
            let part: Value = serde_yaml::from_str(text(part))?;
            if part["shutdown"].is_object() {
                shutdown = part["shutdown"].clone();
            }
        }
        // A variable stands in for a key of the file.
        for entry in list(&workload.container["env"]) {
            let key = text(&entry["name"]).strip_prefix("LB__SHUTDOWN__");
            if let Some(key) = key {
                shutdown[key.to_lowercase()] = entry["value"].clone();
            }
        }
        let time = |key: &str, default| seconds(&shutdown[key], default);
        Ok(Self {
            lame_duck: time("lame_duck", 10)?,
            readiness: time("readiness_fail_delay", 0)?,
            drain: time("drain", 30)?.max(time("stream_drain", 60)?),
        })
    }
}

fn each(objects: &Objects, rule: impl Fn(Workload<'_>) -> Result<()>) -> Faults {
    let of = |workload: Workload<'_>| {
        let fault = rule(workload).err()?;
        Some(format!("{}: {fault:#}", name(workload.object)))
    };
    objects.ours().filter_map(of).collect()
}

/// Durations of the manifests are written in seconds or minutes.
fn seconds(value: &Value, default: u64) -> Result<Duration> {
    if value.is_null() {
        return Ok(Duration::from_secs(default));
    }
    let text = text(value);
    let (number, factor) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 60),
        (None, None) => bail!("{value} is not in seconds or minutes"),
    };
    Ok(Duration::from_secs(number.parse::<u64>()? * factor))
}
