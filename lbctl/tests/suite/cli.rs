use super::support::{answer_with, closed, lbctl, run, stderr, stdout};
use std::process::Stdio;

const GOOD: &str = "\
name: r1
region: eu-west
listeners:
  - name: web
    address: 127.0.0.1:8080
    protocols: [http1]
routes:
  - name: all
    pool: web
pools:
  - name: web
    servers:
      - name: web-1
        address: 127.0.0.1:9001
";

#[test]
fn help_is_no_fault_and_nonsense_is() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).contains("Exit codes:"));
    for args in [
        &["frobnicate"][..],
        &["status", "--output", "xml"],
        &["--admin", "nowhere", "status"],
        &["explain", "not-a-path"],
        &["--timeout", "3", "status"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stdout(&output).is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn an_unreachable_replica_is_6_and_a_partial_answer_is_5() {
    let (closed, open) = (closed().to_string(), answer_with(200, "[]").to_string());
    let output = run(&["--admin", &closed, "regions"]);
    assert_eq!(output.status.code(), Some(6));
    assert!(stdout(&output).is_empty());
    assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));

    let both = format!("{open},{closed}");
    let output = run(&["--admin", &both, "--output", "json", "pools"]);
    assert_eq!(output.status.code(), Some(5));
    let list: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(list[0]["answer"], serde_json::json!([]));
    assert!(list[1]["error"].is_string());
}

#[test]
fn a_refusal_is_told_with_its_hint() {
    let admin = answer_with(400, r#"{"error":"no such thing","hint":"try another"}"#);
    let output = run(&["--admin", &admin.to_string(), "explain", "/x"]);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(
        told.contains("no such thing") && told.contains("try another"),
        "{told}"
    );
}

#[test]
fn json_keeps_fields_that_this_version_does_not_know() {
    let admin = answer_with(200, r#"{"replica":"r1","tier":"global","novelty":[1]}"#).to_string();
    let output = lbctl()
        .env("LB_ADMIN", &admin)
        .args(["status", "-o", "json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let status: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(status["novelty"][0], 1);
    let output = run(&["--admin", &admin, "status", "-o", "name"]);
    assert_eq!(stdout(&output), "global/r1\n");
}

#[test]
fn a_pipe_gets_no_colour_and_may_close_early() {
    let admin = answer_with(
        200,
        r#"{"replica":"r1","ready":true,"lifecycle":"serving"}"#,
    );
    let output = run(&["--admin", &admin.to_string(), "status"]);
    assert!(stdout(&output).contains("● ready") && !stdout(&output).contains('\x1b'));

    let mut child = lbctl()
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let output = run(&["config", "check", "/nowhere/lb.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nowhere/lb.yaml"));
}

#[test]
fn an_invalid_configuration_is_3_and_shows_its_place() {
    let directory = std::env::temp_dir().join(format!("lbctl-check-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (good, bad) = (directory.join("good.yaml"), directory.join("bad.yaml"));
    std::fs::write(&good, GOOD).unwrap();
    std::fs::write(&bad, GOOD.replace("    pool:", "    pol:")).unwrap();
    let paths = [good.to_str().unwrap(), bad.to_str().unwrap()];
    let valid = run(&["config", "check", paths[0]]);
    let both = run(&["config", "check", paths[0], paths[1]]);
    let json = run(&["config", "check", "-o", "json", paths[1]]);
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(valid.status.code(), Some(0), "{}", stderr(&valid));
    assert_eq!(both.status.code(), Some(3));
    assert!(stderr(&both).contains("bad.yaml:9:"), "{}", stderr(&both));
    assert!(stdout(&both).contains("● valid") && stdout(&both).contains("✖ invalid"));
    let verdicts: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(verdicts[0]["valid"], false);
    assert_eq!(verdicts[0]["tier"], "regional");
}

#[test]
fn completions_know_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert!(stdout(&output).contains("explain"), "{shell}");
    }
}
