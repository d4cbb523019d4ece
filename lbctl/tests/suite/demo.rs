//! The demo with stand-ins for both programs: a script that hands over to the demo's own server on the
//! admin address, where it answers every path with 200.

use super::support::{lbctl, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

const STAND_IN: &str = r#"#!/bin/sh
# run --config FILE --exit-with-parent
[ "$1 $2 $4" = "run --config --exit-with-parent" ] || exit 64
admin=$(sed -n '/^admin:/,/address:/s/^ *address: *//p' "$3")
exec LBCTL demo-server --name stand-in --address "$admin" --exit-with-parent
"#;

/// A directory with stand-ins, which goes with this value.
struct Programs(PathBuf);

/// A running demo; it is killed with this value.
struct Demo {
    child: Child,
    topology: serde_json::Value,
}

impl Programs {
    fn new(name: &str, script: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        for program in ["global-lb", "regional-lb"] {
            let path = directory.join(program);
            fs::write(&path, script.replace("LBCTL", env!("CARGO_BIN_EXE_lbctl"))).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self(directory)
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Demo {
    fn start(programs: &Programs, more: &[&str]) -> Self {
        let mut child = lbctl()
            .args(["demo", "--output", "json", "--bin-dir"])
            .arg(&programs.0)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let topology = serde_json::from_str(&line).unwrap_or_default();
        Self { child, topology }
    }

    fn processes(&self) -> &Vec<serde_json::Value> {
        self.topology["processes"].as_array().unwrap()
    }

    fn pids(&self) -> Vec<u64> {
        self.processes()
            .iter()
            .map(|p| p["pid"].as_u64().unwrap())
            .collect()
    }

    fn directory(&self) -> PathBuf {
        PathBuf::from(self.topology["directory"].as_str().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            signal,
        )
        .unwrap();
    }

    /// Waits for the end; the exit code and what was written to standard error.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut told)
            .unwrap();
        (self.child.wait().unwrap().code(), told)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process is there and no zombie.
fn runs(pid: u64) -> bool {
    fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}

#[test]
fn ctrl_c_leaves_nothing() {
    let programs = Programs::new("lbctl-demo-int", STAND_IN);
    let mut demo = Demo::start(&programs, &[]);
    assert_eq!(demo.processes().len(), 17);
    assert!(demo.pids().iter().all(|&pid| runs(pid)));
    let mode = fs::metadata(demo.directory()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    demo.signal(Signal::SIGINT);
    let (code, told) = demo.end();
    assert_eq!(code, Some(0), "{told}");
    assert!(!demo.directory().exists());
    assert!(
        !demo.pids().iter().any(|&pid| runs(pid)),
        "a process is left"
    );
}

#[test]
fn a_death_is_told_once_and_the_demo_goes_on() {
    let programs = Programs::new("lbctl-demo-death", STAND_IN);
    let mut demo = Demo::start(&programs, &["--quiet"]);
    let victim = demo.processes()[0].clone();
    let (pid, name) = (
        victim["pid"].as_u64().unwrap(),
        victim["name"].as_str().unwrap(),
    );
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    let mut told = String::new();
    BufReader::new(demo.child.stderr.as_mut().unwrap())
        .read_line(&mut told)
        .unwrap();
    assert_eq!(told, format!("✖ {name} is gone: killed by SIGKILL\n"));
    assert!(demo.pids().iter().skip(1).all(|&pid| runs(pid)));
    demo.signal(Signal::SIGTERM);
    assert_eq!(demo.end(), (Some(0), String::new()));
}

#[test]
fn children_end_with_a_demo_that_is_killed() {
    let programs = Programs::new("lbctl-demo-kill", STAND_IN);
    let mut demo = Demo::start(&programs, &["--quiet"]);
    demo.signal(Signal::SIGKILL);
    demo.end();
    let pids = demo.pids();
    wait_for("the children end", || !pids.iter().any(|&pid| runs(pid)));
    fs::remove_dir_all(demo.directory()).unwrap();
}

#[test]
fn the_demo_ends_by_itself() {
    let programs = Programs::new("lbctl-demo-for", STAND_IN);
    let mut demo = Demo::start(&programs, &["--for", "10ms"]);
    assert_eq!(demo.end().0, Some(0));
    assert!(!demo.directory().exists());
}

#[test]
fn a_program_that_fails_shows_the_end_of_its_log() {
    let programs = Programs::new(
        "lbctl-demo-fail",
        "#!/bin/sh\necho no such luck >&2; exit 3\n",
    );
    let mut demo = Demo::start(&programs, &[]);
    let (code, told) = demo.end();
    assert_eq!(code, Some(1));
    assert!(
        told.contains("no such luck") && told.contains("exited with code 3"),
        "{told}"
    );
}

#[test]
fn a_program_that_never_gets_ready_is_a_timeout() {
    let programs = Programs::new("lbctl-demo-late", "#!/bin/sh\necho waiting; exec cat\n");
    let mut demo = Demo::start(&programs, &["--ready-timeout", "1s"]);
    let (code, told) = demo.end();
    assert_eq!(code, Some(5));
    assert!(
        told.contains("global-1") && told.contains("    waiting"),
        "{told}"
    );
}

#[test]
fn missing_programs_are_named() {
    let output = lbctl()
        .args(["demo", "--bin-dir", "/nowhere"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/global-lb"));
}
