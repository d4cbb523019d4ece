//! Every structural fault, as it is shown.

use super::super::{Code, Faults};
use super::{faults, sample};

fn codes(text: &str) -> Vec<Code> {
    sample(text)
        .expect_err("the text has faults")
        .iter()
        .map(|fault| fault.code)
        .collect()
}

#[test]
fn many_at_once() {
    insta::assert_snapshot!(faults(
        r#"nmae: eu
pools:
  - name: Web Pool
    policy: ring_hsh
    timeout: 5
    servers:
      - address: 10.0.0.300
        wieght: 5
      - weight: 1001
        tls: yes
        tls: no
      - { address: 10.0.0.1, weight: "8o", share: 1.5 }
      - address: 10.0.0.1
        weight: "80"
        share: .nan
  - name: other
    servers: 10.0.0.2
    check: http
  - name: third
    check: { htp: { path: / } }
    stick: { by: cokie }
limits:
  connections: 99999999999
  total: -1
  signed: 1.0
ports: [80, 80, 70000]
labels: { Bad Key: x, good: 5 }
"#
    ));
}

#[test]
fn enums() {
    insta::assert_snapshot!(faults(
        r#"name: a
pools:
  - { name: a, check: tpc, stick: { by: cookie, nam: x } }
  - { name: b, check: { tcp: {} }, stick: { name: x } }
  - { name: c, check: { http: { path: 7 } }, stick: [] }
  - { name: d, check: {}, stick: { by: 5 }, policy: }
  - { name: e, check: { http: , tcp: }, stick: { by: address, extra: 1 }, policy: 3 }
"#
    ));
}

#[test]
fn untagged_enums_take_the_nearest_variant() {
    insta::assert_snapshot!(faults(
        "name: a\npools: [{ name: b }]\nzones:\n  a: { id: 300, title: x }\n  b: { shar: 5 }\n  c: [1]\n  d: 7\n"
    ));
}

#[test]
fn wrong_types_say_what_to_write() {
    insta::assert_snapshot!(faults(
        "name: 12\npools:\n  name: b\nlimits: [a]\nlabels: a:b\nzones: text\nports: 80\nregion: 1.10\n"
    ));
}

#[test]
fn an_empty_file_lacks_its_keys() {
    for text in ["", "\n", "# only a comment\n", "---\n", "\u{feff}", "~"] {
        assert_eq!(
            codes(text),
            [Code::MissingKey, Code::MissingKey],
            "{text:?}"
        );
    }
    insta::assert_snapshot!(faults("# only a comment\n"));
}

#[test]
fn a_fault_that_only_the_type_finds_has_its_place_too() {
    insta::assert_snapshot!(faults(
        "name: a\npools:\n- name: b\n- name: c\n  check:\n    http:\n      path: /\n      every: 13s\n"
    ));
}

#[test]
fn columns_count_characters() {
    let faults =
        sample("name: \"äöü\"\r\npools: [{ name: b, ünknown: 1 }]\r\n").expect_err("faults");
    let places: Vec<_> = faults
        .iter()
        .map(|fault| (fault.line, fault.column, fault.len))
        .collect();
    assert_eq!(places, [(1, 7, 5), (2, 20, 7)]);
}

#[test]
fn a_repeated_key_points_at_the_repetition() {
    insta::assert_snapshot!(faults("name: a\npools: [{ name: b }]\nname: c\n"));
}

#[test]
fn the_same_fault_through_two_aliases_is_shown_once() {
    let text = "name: a\npools:\n- name: b\n  servers:\n  - &s { address: 10.0.0.1, x: 1 }\n  - *s\n  - *s\n";
    assert_eq!(codes(text), [Code::UnknownKey]);
}

#[test]
fn a_flood_of_faults_is_cut_and_counted() {
    let mut text = String::from("name: a\npools:\n- name: b\n  servers:\n");
    for _ in 0..5000 {
        text.push_str("  - { address: 10.0.0.1, wieght: 1 }\n");
    }
    let faults = sample(&text).expect_err("faults");
    assert_eq!((faults.iter().len(), faults.count()), (100, 5000));
    assert!(faults.to_string().ends_with("… and 4900 more"));
}

#[test]
fn long_lines_are_cut_around_the_fault() {
    let filler = "x".repeat(300);
    insta::assert_snapshot!(faults(&format!(
        "name: a\npools: [{{ name: b }}]\nlabels: {{ a: {filler}, BAD: {filler} }}\n"
    )));
}

#[test]
fn serializes_for_programs() {
    let faults = sample("name: a\npools: []\n").expect_err("faults");
    insta::assert_snapshot!(serde_json::to_string_pretty(&faults).expect("serializes"));
}

#[test]
fn codes_serialize_as_their_names() {
    for code in [
        Code::Syntax,
        Code::UnknownKey,
        Code::BadFile,
        Code::TooLarge,
        Code::WrongType,
    ] {
        assert_eq!(serde_json::to_value(code).expect("serializes"), code.name());
    }
}

#[test]
fn a_check_joins_its_faults() {
    assert_eq!(Faults::check(Vec::new()), Ok(()));
    let some = sample("name: a\npools: []\n")
        .expect_err("faults")
        .into_vec();
    assert_eq!(
        Faults::check([some.clone(), some].concat()).map_err(|faults| faults.count()),
        Err(1)
    );
}
