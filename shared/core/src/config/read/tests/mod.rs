//! Tests of the whole reader, on a small configuration that has one of everything.

mod faults;
mod hostile;
mod layers;
mod sample;
mod shapes;
mod syntax;
mod values;

use sample::Root;

use super::{Document, Faults, Formats, Layers, read};

/// Reads a sample, and checks what must hold of every answer.
fn sample(text: &str) -> Result<(Root, Document), Faults> {
    let result = read::<Root>(&Layers::one("conf/sample.yaml", text), &formats());
    if let Err(faults) = &result {
        check_invariants(faults, text);
    }
    result
}

fn formats() -> Formats {
    Formats::new().with("duration", |text| {
        let number = text.strip_suffix('s').ok_or("it has no unit; write 5s")?;
        number
            .parse::<u32>()
            .map(drop)
            .map_err(|_reason| format!("{number:?} is not a number"))
    })
}

fn faults(text: &str) -> String {
    sample(text).expect_err("the text has faults").to_string()
}

/// All places are within the text, and every message is one line that a terminal can show.
fn check_invariants(faults: &Faults, text: &str) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let normal = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = normal.split('\n').collect();
    assert!(faults.iter().len() >= 1 && faults.iter().len() <= 100);
    let places: Vec<_> = faults
        .iter()
        .map(|fault| (fault.line, fault.column))
        .collect();
    assert!(places.is_sorted(), "faults come by place");
    for fault in faults {
        let line = lines.get(fault.line - 1).expect("the line exists");
        let width = line.chars().count();
        assert!(fault.column >= 1 && fault.column <= width + 1, "{fault:?}");
        assert!(
            fault.len >= 1 && fault.column + fault.len <= width.max(fault.column) + 1,
            "{fault:?}"
        );
        assert!(
            !fault.reason.is_empty() && !fault.reason.chars().any(char::is_control),
            "{fault:?}"
        );
        assert_eq!(
            fault.snippet.lines().count(),
            2,
            "a source line and a caret line: {fault:?}"
        );
        assert!(
            !fault
                .to_string()
                .chars()
                .any(|c| c.is_control() && c != '\n'),
            "{fault:?}"
        );
    }
}
