//! Tests of the checks: each has a file that passes and one that does not.

mod codes;
mod groups;

use super::{load_global, load_regional};
use crate::config::read::{Code, Faults, Layers};

/// A file of the regional tier with nothing that is not needed.
const REGIONAL: &str = "\
name: r1
region: eu
listeners:
  - { name: web, address: 127.0.0.1:8080 }
routes:
  - { name: all, pool: app }
pools:
  - name: app
    servers:
      - { name: a, address: 127.0.0.1:9001 }
      - { name: b, address: 127.0.0.1:9002 }
";

/// A file of the global tier with nothing that is not needed.
const GLOBAL: &str = "\
name: g1
listeners:
  - { name: web, address: 127.0.0.1:8000 }
routes:
  - { name: all }
regions:
  - name: eu
    replicas:
      - { name: r1, address: 127.0.0.1:8080, admin: 127.0.0.1:9910 }
";

type Slip = (Code, usize, String);

fn slips<T>(result: Result<T, Faults>) -> Vec<Slip> {
    let faults = result.err().map(Faults::into_vec).unwrap_or_default();
    for fault in &faults {
        // A fault of form says in its reason what the form is.
        let is_semantic = matches!(
            fault.code,
            Code::UnknownName
                | Code::DuplicateName
                | Code::Conflict
                | Code::Unreachable
                | Code::Unsupported
                | Code::Invalid
        );
        let help = !is_semantic || fault.hint.is_some() || fault.suggestion.is_some();
        assert!(help, "a fault says what to do: {fault}");
        assert!(
            !fault.reason.contains('\n'),
            "a reason is one line: {fault}"
        );
    }
    faults
        .into_iter()
        .map(|fault| (fault.code, fault.line, fault.path))
        .collect()
}

fn regional(text: &str) -> Vec<Slip> {
    slips(load_regional(&Layers::one("regional.yaml", text)))
}

fn global(text: &str) -> Vec<Slip> {
    slips(load_global(&Layers::one("global.yaml", text)))
}

/// `text` with `old`, which must occur once, replaced.
fn edit(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old} occurs once");
    text.replace(old, new)
}

#[test]
fn the_smallest_files_pass() {
    assert_eq!(regional(REGIONAL), []);
    assert_eq!(global(GLOBAL), []);
}
