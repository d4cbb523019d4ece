//! Reads a YAML document into a typed value, or says everything that is wrong with it.
//!
//! **Problem.** An operator who edits a configuration wants every fault of it at once, each with its
//! file, line and column, what was meant, and what to write. Serde stops at the first fault, and the
//! places of a YAML document are gone once its values are in a generic tree.
//!
//! **Choice.** Four steps, each on the result of the one before:
//! 1. `layers`, `load`: the events of `saphyr-parser` (YAML 1.2, with marks) become a tree in which every key and
//!    value knows its place, within bounds on bytes, depth and number of values.
//! 2. `shape`, `walk`: the tree is checked against the JSON Schema that `schemars` derives from the type.
//!    All structural faults are found in this pass, also those of texts with a `format` of our own
//!    ([`Formats`]).
//! 3. The tree, as JSON, goes through the type's `Deserialize`, which has the last word. It should
//!    agree; if it still refuses, `serde_path_to_error` tells where, and that is the one fault.
//! 4. The tree stays as [`Document`], so that semantic checks report in the same way:
//!    `doc.fault(&path, Place::Value, Code::UnknownName, "…")`.
//!
//! **Rejected.** A hand-written reader per type shows all faults as well, but is a second truth beside
//! the types and the published schema, and drifts. Deserializing each field into a `Result` infects every
//! type. A general JSON Schema validator knows no places, words its errors for programmers, and brings
//! a large tree of dependencies. `serde_yaml` and its forks keep no places behind the first error.
//!
//! **YAML.** The core schema of 1.2: `yes`, `on` and `no` are text. Anchors, aliases and merge keys
//! (`<<: *defaults`) work; own tags, several documents, and keys that are not text do not. A repeated
//! key is a fault, as the last one would silently win. An empty value where settings are optional
//! (`limits:`) counts as absent.
//!
//! **Limits.** 16 MiB, 64 levels, 2,000,000 values with aliases expanded, 3,000,000 commas, colons and
//! brackets; 100 faults are listed and the
//! others counted. A syntax fault ends the reading, since what follows it would be a guess. Aliases of
//! serde (`#[serde(alias)]`) are not in a schema, so they are unknown keys here. Keywords that `schemars`
//! does not derive are not checked by the walk; `#[schemars(range)]` on a field of a wrapper type is one
//! that it drops in silence, so a range belongs on the wrapped field.
//!
//! **Source.** YAML 1.2.2 (yaml.org/spec/1.2.2), chapters 7, 8 and 10.3; JSON Schema 2020-12.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

mod bounds;
mod code;
mod compile;
mod diagnostic;
mod document;
mod expect;
mod finding;
mod formats;
mod layers;
mod load;
mod load_report;
mod open;
mod path;
mod render;
mod rules;
mod scalar;
mod shape;
mod source;
mod suggest;
mod syntax;
mod tree;
mod union;
mod walk;
mod walk_object;
mod walk_scalar;
mod walk_union;

#[cfg(test)]
mod tests;

pub use code::Code;
pub use diagnostic::{Diagnostic, Faults, Place};
pub use document::Document;
pub use formats::{Check, Formats};
pub use layers::{Layers, Text};
pub use path::Path;
pub use suggest::suggest;

use finding::{Finding, Findings};
use source::{Source, Sources, Span};
use walk::{At, Walk};

/// Reads `layers` as a `T`.
///
/// # Errors
/// All faults that were found, by place.
pub fn read<T>(layers: &Layers, formats: &Formats) -> Result<(T, Document), Faults>
where
    T: DeserializeOwned + JsonSchema,
{
    let bytes = layers.bytes();
    if bytes > bounds::MAX_BYTES {
        return Err(too_large(&layers.main.name, bytes));
    }
    let mut findings = Findings::default();
    let (sources, root) = layers.read(&mut findings);
    let root = match root {
        Ok(root) => root,
        Err(finding) => return Err(findings.with_last(*finding, &sources)),
    };
    let shapes = compile::compile(&schema::<T>());
    let mut walk = Walk::new(&sources, &shapes, formats, findings);
    let value = walk.check(
        At {
            item: &root,
            holder: root.span,
        },
        0,
    );
    if let Some(faults) = walk.findings.into_faults(&sources) {
        return Err(faults);
    }
    let document = Document::new(sources, root);
    match serde_path_to_error::deserialize(value) {
        Ok(typed) => Ok((typed, document)),
        Err(error) => Err(refused(&document, &error)),
    }
}

/// The bytes of a file as text.
///
/// # Errors
/// One fault, at the first byte that is not UTF-8.
pub fn utf8<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Faults> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let text = String::from_utf8_lossy(valid.get(..bounds::MAX_BYTES).unwrap_or(valid));
        let source = Source::new(file, &format!("{text}\u{fffd}"));
        let at = text.trim_start_matches('\u{feff}').chars().count();
        let reason = "the file is not UTF-8 text from here on";
        let finding = Finding::new(Span::new(at, at + 1), Path::root(), Code::Encoding, reason);
        Findings::default().with_last(
            finding.hint("save it as UTF-8".to_owned()),
            &Sources::one(source),
        )
    })
}

/// The JSON Schema of `T`, for editors and for the schema files that are kept with the documentation.
#[must_use]
pub fn schema_for<T: JsonSchema>(title: &str) -> Value {
    let mut schema = schema::<T>();
    if let Some(rules) = schema.as_object_mut() {
        rules.insert("title".to_owned(), title.into());
    }
    schema
}

fn schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// What serde refused although the schema allows it, at the value that it was reading.
fn refused(document: &Document, error: &serde_path_to_error::Error<serde_json::Error>) -> Faults {
    let mut path = Path::root();
    for segment in error.path() {
        let next = match segment {
            Segment::Seq { index } => path.index(*index),
            Segment::Map { key } => path.key(key.clone()),
            Segment::Enum { variant } => path.key(variant.clone()),
            Segment::Unknown => break,
        };
        if !document.has(&next) {
            break;
        }
        path = next;
    }
    let reason = error.inner().to_string();
    let fault = document.fault(&path, Place::Value, Code::Invalid, reason);
    Faults::with_omitted(fault, Vec::new(), 0)
}

fn too_large(file: &str, bytes: usize) -> Faults {
    let reason = format!(
        "the configuration has {bytes} bytes; at most {} are read",
        bounds::MAX_BYTES
    );
    let finding = Finding::new(Span::default(), Path::root(), Code::TooLarge, reason);
    Findings::default().with_last(finding, &Sources::one(Source::new(file, "")))
}
