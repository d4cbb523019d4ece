//! A configuration with one of everything that derived types can express.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    pub(super) name: Name,
    #[schemars(length(min = 1))]
    pub(super) pools: Vec<Pool>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) labels: BTreeMap<Name, String>,
    #[serde(default)]
    pub(super) zones: BTreeMap<String, Zone>,
    #[serde(default)]
    pub(super) region: Option<Zone>,
    #[serde(default)]
    pub(super) ports: BTreeSet<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Name(
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]*$"), length(max = 20))] pub(super) String,
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pool {
    pub(super) name: Name,
    #[serde(default)]
    pub(super) policy: Policy,
    #[serde(default)]
    pub(super) check: Option<Probe>,
    #[serde(default)]
    pub(super) stick: Option<Stick>,
    #[serde(default)]
    pub(super) timeout: Option<Seconds>,
    #[serde(default)]
    pub(super) servers: Vec<Server>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) address: IpAddr,
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub(super) weight: u16,
    #[serde(default)]
    pub(super) tls: bool,
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) share: Option<f64>,
}

/// How to choose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Policy {
    /// By latency.
    #[default]
    PeakEwma,
    /// By turns.
    RoundRobin,
    /// By key.
    RingHash,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Probe {
    None,
    Tcp,
    Http {
        path: String,
        #[serde(default)]
        every: Option<Seconds>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Stick {
    Cookie { name: String },
    Header { header: String },
    Address,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) connections: Option<u32>,
    pub(super) total: u64,
    pub(super) signed: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Zone {
    Name(String),
    Full(FullZone),
    Weighted(WeightedZone),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FullZone {
    pub(super) id: u8,
    pub(super) title: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightedZone {
    pub(super) share: u8,
}

/// A type with a schema of its own and a `format` that the caller checks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Seconds(pub(super) u32);

// === impl Seconds ===

impl TryFrom<String> for Seconds {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text
            .strip_suffix('s')
            .and_then(|number| number.parse().ok());
        match number {
            // What the format lets pass and only the type refuses.
            Some(13) => Err("13s brings bad luck".to_owned()),
            Some(number) => Ok(Seconds(number)),
            None => Err(format!("{text:?} is not a number of seconds")),
        }
    }
}

impl From<Seconds> for String {
    fn from(seconds: Seconds) -> String {
        format!("{}s", seconds.0)
    }
}

impl JsonSchema for Seconds {
    fn schema_name() -> Cow<'static, str> {
        "Seconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration" })
    }
}

fn one() -> u16 {
    1
}
