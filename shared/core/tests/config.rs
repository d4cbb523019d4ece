//! Files that are kept in the repository and must agree with the configuration's types: the JSON Schemas,
//! the reference page, and every example in `conf/`.
#![expect(
    clippy::disallowed_methods,
    reason = "these tests are about files; the ring itself reads none"
)]

use lb_core::config::read::Layers;
use lb_core::config::reference::{global_schema, reference, regional_schema, schema_text};
use lb_core::config::{load_global, load_regional};
use std::fs;
use std::path::{Path, PathBuf};

const RENEW: &str = "run `cargo run -p lb-core --example schema`, and commit what it writes";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// All files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.iter().map(fs::DirEntry::path) {
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn schemas_are_fresh() {
    for (name, schema) in [("regional", regional_schema()), ("global", global_schema())] {
        let file = root().join(format!("docs/schema/{name}.json"));
        assert!(
            text(&file) == schema_text(&schema),
            "{} is stale: {RENEW}",
            file.display()
        );
    }
}

#[test]
fn the_reference_page_is_fresh() {
    let page = text(&root().join("docs/configuration.md"));
    let table = page
        .split_once("<!-- reference: begin -->\n\n")
        .and_then(|(_, rest)| rest.split_once("<!-- reference: end -->\n"))
        .map(|(table, _)| table);
    assert!(
        table == Some(reference().as_str()),
        "docs/configuration.md is stale: {RENEW}"
    );
}

#[test]
fn every_key_is_explained() {
    for line in reference().lines().filter(|line| line.starts_with("| `")) {
        let meaning = line
            .trim_end_matches(" |")
            .rsplit(" | ")
            .next()
            .unwrap_or("");
        assert!(
            meaning.len() > 3,
            "a key or value has no documentation: {line}"
        );
    }
}

#[test]
fn every_example_is_valid_and_names_its_schema() {
    let conf = root().join("conf");
    let files = files(&conf);
    assert!(files.len() >= 11, "the examples are there: {files:?}");
    for file in files {
        let name = file.display().to_string();
        let content = text(&file);
        let mut lines = content.lines();
        let depth = file
            .strip_prefix(&conf)
            .map_or(0, |inner| inner.components().count());
        let up = "../".repeat(depth);
        let tier = lines.next().and_then(|line| line.strip_prefix("# tier: "));
        let faults = match tier {
            Some("regional") => load_regional(&Layers::one(&name, &content)).err(),
            Some("global") => load_global(&Layers::one(&name, &content)).err(),
            _ => {
                panic!("{name}: the first line is neither `# tier: regional` nor `# tier: global`")
            }
        };
        assert!(
            faults.is_none(),
            "{}",
            faults.map(|all| all.to_string()).unwrap_or_default()
        );
        let schema = format!("{up}docs/schema/{}.json", tier.unwrap_or_default());
        let wanted = format!("# yaml-language-server: $schema={schema}");
        assert_eq!(
            lines.next(),
            Some(wanted.as_str()),
            "{name}: the second line names the schema"
        );
    }
}

#[test]
fn the_examples_of_the_page_are_valid() {
    let page = text(&root().join("docs/configuration.md"));
    let mut count = 0;
    for block in page.split("```yaml\n").skip(1) {
        let Some((block, _)) = block.split_once("```") else {
            panic!("a block of the page has no end");
        };
        let faults = match block.lines().next() {
            Some("# tier: regional") => {
                load_regional(&Layers::one("docs/configuration.md", block)).err()
            }
            Some("# tier: global") => {
                load_global(&Layers::one("docs/configuration.md", block)).err()
            }
            _ => continue,
        };
        assert!(
            faults.is_none(),
            "{}",
            faults.map(|all| all.to_string()).unwrap_or_default()
        );
        count += 1;
    }
    assert!(count >= 2, "the page shows one file of each tier");
}
