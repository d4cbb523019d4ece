//! Writes what is generated from the configuration's types: `docs/schema/*.json` and the reference table in
//! `docs/configuration.md`. Run it from the repository's root: `cargo run -p lb-core --example schema`.

use lb_core::config::reference::{global_schema, reference, regional_schema, schema_text};
use std::path::Path;

/// What stands around the table in the page.
const MARKS: [&str; 2] = ["<!-- reference: begin -->\n", "<!-- reference: end -->\n"];

#[expect(
    clippy::disallowed_methods,
    reason = "a tool of ours, not a part of the pure ring"
)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    std::fs::create_dir_all(docs.join("schema"))?;
    let files = [
        ("schema/regional.json", regional_schema()),
        ("schema/global.json", global_schema()),
    ];
    for (file, schema) in files {
        std::fs::write(docs.join(file), schema_text(&schema))?;
    }
    let page = docs.join("configuration.md");
    let text = std::fs::read_to_string(&page)?;
    let [begin, end] = MARKS;
    let (before, rest) = text
        .split_once(begin)
        .ok_or("the page lacks the mark of the beginning")?;
    let (_, after) = rest
        .split_once(end)
        .ok_or("the page lacks the mark of the end")?;
    std::fs::write(
        &page,
        format!("{before}{begin}\n{}{end}{after}", reference()),
    )?;
    Ok(())
}
