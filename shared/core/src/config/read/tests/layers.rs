//! Documents out of several files and of variables.

use crate::config::load_regional;
use crate::config::model::Regional;
use crate::config::read::{Code, Faults, Layers, Text};

const MAIN: &str = "\
name: r1
region: eu
include: [pools/*.yaml]
listeners:
  - { name: web-1, address: 127.0.0.1:8080 }
";
const POOLS: &str = "\
routes: [{ name: all, pool: app }]
pools:
  - { name: app, servers: [{ name: a, address: 127.0.0.1:9001 }] }
";

fn layers(included: &[&str], variables: &[(&str, &str)]) -> Layers {
    let mut layers = Layers::one("main.yaml", MAIN);
    let files = included.iter().enumerate().map(|(number, text)| Text {
        name: format!("pools/{number}.yaml"),
        text: (*text).to_owned(),
    });
    layers.included = files.collect();
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    layers.with_variables(variables.iter().map(owned))
}

fn read(included: &[&str], variables: &[(&str, &str)]) -> Result<Regional, Faults> {
    load_regional(&layers(included, variables))
}

/// File, line, code and hint of each fault.
fn places(result: Result<Regional, Faults>) -> Vec<(String, usize, Code, String)> {
    let faults = result.expect_err("there are faults").into_vec();
    let place = |fault: &crate::config::read::Diagnostic| {
        let hint = fault.hint.clone().unwrap_or_default();
        (fault.file.to_string(), fault.line, fault.code, hint)
    };
    faults.iter().map(place).collect()
}

#[test]
fn lists_of_several_files_follow_each_other() {
    let more = "pools: [{ name: b, servers: [{ name: a, address: 127.0.0.1:9002 }] }]";
    let config = read(&[POOLS, more, "# nothing\n"], &[]).unwrap();
    let names: Vec<_> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["app", "b"]);
    assert_eq!(config.include, ["pools/*.yaml"]);
    assert_eq!(layers(&[], &[]).patterns(), ["pools/*.yaml"]);
}

#[test]
fn a_fault_names_the_file_that_it_is_in() {
    let wrong = "pools:\n  - { name: b, sevrers: [] }\n";
    let found = places(read(&[POOLS, wrong], &[]));
    let at = |(file, line, ..): &(String, usize, Code, String)| (file.clone(), *line);
    assert!(
        found
            .iter()
            .all(|fault| at(fault) == ("pools/1.yaml".to_owned(), 2)),
        "{found:?}"
    );
    let broken = "pools:\n  - { name: b\n";
    let found = places(read(&[POOLS, broken], &[]));
    assert_eq!((&*found[0].0, found[0].2), ("pools/1.yaml", Code::Syntax));
    // What is between values.
    let twice = "pools:\n  - { name: app, servers: [{ name: a, address: 127.0.0.1:9002 }] }\n";
    let found = places(read(&[POOLS, twice], &[]));
    assert_eq!(
        (&*found[0].0, found[0].1, found[0].2),
        ("pools/1.yaml", 2, Code::DuplicateName)
    );
}

#[test]
fn a_setting_stands_in_one_file() {
    let found = places(read(&[POOLS, "region: us\n"], &[]));
    assert_eq!(
        (&*found[0].0, found[0].2),
        ("pools/1.yaml", Code::DuplicateKey)
    );
    assert!(found[0].3.contains("main.yaml:2"), "{found:?}");
    let found = places(read(&[POOLS, "include: [x.yaml]\n"], &[]));
    assert_eq!(
        (&*found[0].0, found[0].2),
        ("pools/1.yaml", Code::NotAllowed)
    );
    let found = places(read(&[POOLS, "- a\n"], &[]));
    assert_eq!(
        (&*found[0].0, found[0].2),
        ("pools/1.yaml", Code::WrongType)
    );
}

#[test]
fn a_variable_stands_in_for_a_value() {
    let variables = [
        ("LB__NAME", "pod-7"),
        ("LB__THREADS", "4"),
        ("LB__ZONE", ""),
        ("LB__ADMIN__ADDRESS", "0.0.0.0:9900"),
        ("LB__LISTENERS__WEB_1__ADDRESS", "0.0.0.0:80"),
        ("LB__POOLS__0__SERVERS__A__WEIGHT", "7"),
        ("LB__SHUTDOWN__LAME_DUCK", "20s"),
        ("LB_LOG", "info"),
        ("PATH", "/bin"),
    ];
    let config = read(&[POOLS], &variables).unwrap();
    assert_eq!((config.name.as_str(), config.threads), ("pod-7", 4));
    assert_eq!(config.zone, None);
    assert_eq!(config.listeners[0].address.to_string(), "0.0.0.0:80");
    assert_eq!(config.shutdown.lame_duck.get().as_secs(), 20);
    let one = layers(&[POOLS], &variables);
    assert_eq!(
        one.texts().count(),
        2,
        "variables are not what operators wrote for all"
    );
}

#[test]
fn a_fault_of_a_variable_names_it() {
    for (name, text, code) in [
        ("LB__THREADS", "many", Code::WrongType),
        ("LB__THREDAS", "4", Code::UnknownKey),
        (
            "LB__LISTENERS__WEB__ADDRESS",
            "0.0.0.0:80",
            Code::UnknownName,
        ),
        ("LB__LISTENERS__1__ADDRESS", "0.0.0.0:80", Code::UnknownName),
        ("LB__NAME", "[", Code::Syntax),
        ("LB__NAME__X", "y", Code::WrongType),
    ] {
        let found = places(read(&[POOLS], &[(name, text)]));
        let expected = (format!("${name}"), code);
        assert_eq!((found[0].0.clone(), found[0].2), expected, "{found:?}");
    }
}
