//! The Debian package.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::eventually;
use strata_tests::process::{Launch, Process};
use strata_tests::tools;

use crate::machine::{Machine, SOON, is_there};

const BUILD: Duration = Duration::from_secs(180);
const UNITS: [&str; 2] = ["global-lb", "regional-lb"];
/// What other programs write of their own accord.
const ANYWAY: &str = "find / -xdev ! -path '/proc/*' ! -path '/sys/*' ! -path '/run/*' ! -path '/tmp/*' ! -path '/dev/*' \
    ! -path '/var/lib/dpkg/*' ! -path '/var/lib/systemd/*' ! -path '/var/log/*' ! -path '/var/cache/*' ! -path '/var/tmp/*' \
    ! -path '/var/lib/private*' ! -path '/var/lib/apt/*' \
    ! -name '*-' ! -name '.pwd.lock' ! -name '.updated' | sort";

/// Builds the package from the programs of this test.
async fn build(output: &Path) -> Result<PathBuf> {
    let programs = tools::program("lbctl")?;
    for unit in UNITS {
        tools::program(unit)?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/deb/build.sh");
    let launch = Launch::new("build", script).arg(programs.parent().context("programs")?);
    // Half a minute is spent on compression otherwise.
    let launch = launch.arg(output).arg("-Znone");
    let told = launch.run_ok(BUILD).await?;
    let path = told.lines().last().context("no name")?;
    Ok(PathBuf::from(path))
}

/// A server of the default configuration's pool.
fn server(machine: &Machine, dir: &Path, port: u16) -> Result<Process> {
    let launch = machine.beside("app", "python3").args(["-m", "http.server"]);
    let launch = launch.args([&port.to_string(), "--bind", "127.0.0.1", "--directory"]);
    launch.arg(dir).start()
}

/// Asks through both tiers.
async fn ask(machine: &Machine) -> Result<()> {
    let curl = machine.beside("curl", "curl").args(["-sSf", "-m", "5"]);
    let answer = curl.arg("http://127.0.0.1:8080/").run_ok(SOON).await?;
    ensure!(answer.contains("it works"), "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_installs_serves_and_leaves_nothing() -> Result<()> {
    if !is_there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let package = build(dir.path()).await?;
    let machine = Machine::boot(&package).await?;
    let before = machine.sh(ANYWAY).await?;
    machine.run(&["dpkg", "-i", "/strata.deb"]).await?;
    for unit in UNITS {
        let state = machine.property(unit, "UnitFileState").await?;
        let active = machine.property(unit, "ActiveState").await?;
        ensure!(
            state == "disabled" && active == "inactive",
            "{state} {active}"
        );
        let check = format!("{unit} check --config /etc/strata/{unit}.yaml");
        machine.sh(&check).await?;
        let page = format!("zcat /usr/share/man/man1/{unit}-run.1.gz");
        let page = machine.sh(&page).await?;
        ensure!(page.contains("upgrade\\-timeout"), "{page}");
    }
    for (shell, file) in [
        ("bash", "bash-completion/completions/lbctl"),
        ("zsh", "zsh/vendor-completions/_lbctl"),
        ("fish", "fish/vendor_completions.d/lbctl.fish"),
    ] {
        let text = machine.sh(&format!("cat /usr/share/{file}")).await?;
        ensure!(text.contains("undrain"), "{shell}: {text}");
    }
    serve(&machine, dir.path()).await?;
    machine.run(&["systemctl", "stop", "regional-lb"]).await?;
    machine.run(&["dpkg", "-r", "strata"]).await?;
    let left = machine.sh("ls /etc/strata /var/lib/global-lb; pgrep global-lb || echo none");
    let left = left.await?;
    for words in ["global-lb.yaml", "orders", "none"] {
        ensure!(left.contains(words), "{words}: {left}");
    }
    // Who removed it by mistake has it back as it was.
    machine.run(&["dpkg", "-i", "/strata.deb"]).await?;
    let state = machine.property("global-lb", "UnitFileState").await?;
    ensure!(state == "enabled", "after a removal it is {state}");
    machine.run(&["systemctl", "start", "global-lb"]).await?;
    machine.run(&["dpkg", "-P", "strata"]).await?;
    let after = machine.sh(ANYWAY).await?;
    let more: Vec<&str> = after.lines().filter(|l| !before.contains(l)).collect();
    ensure!(more.is_empty(), "a purge leaves {more:?}");
    let user = machine.sh("getent passwd strata; passwd -S strata").await?;
    ensure!(user.contains("nologin") && user.contains(" L "), "{user}");
    // From the beginning: what was enabled before is forgotten.
    machine.run(&["dpkg", "-i", "/strata.deb"]).await?;
    let state = machine.property("global-lb", "UnitFileState").await?;
    ensure!(state == "disabled", "after a purge it is {state}");
    Ok(())
}

/// Makes a package of an earlier version out of this one: another number, and a unit without what came later.
async fn earlier(machine: &Machine) -> Result<()> {
    let lines = [
        "dpkg-deb -R /strata.deb /tmp/earlier",
        "sed -i 's/^Version: .*/Version: 0.0.9/' /tmp/earlier/DEBIAN/control",
        "sed -i '/^WatchdogSec/d' /tmp/earlier/lib/systemd/system/*.service",
        "dpkg-deb --build -Znone /tmp/earlier /earlier.deb",
        "rm -r /tmp/earlier",
    ];
    machine.sh(&lines.join(" && ")).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_of_the_package_touches_no_request() -> Result<()> {
    if !is_there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let package = build(dir.path()).await?;
    let machine = Machine::boot(&package).await?;
    earlier(&machine).await?;
    machine.run(&["dpkg", "-i", "/earlier.deb"]).await?;
    std::fs::write(dir.path().join("index.html"), "it works\n")?;
    let _one = server(&machine, dir.path(), 9001)?;
    let _two = server(&machine, dir.path(), 9002)?;
    let enable = ["systemctl", "enable", "--now", "regional-lb"];
    machine.run(&enable).await?;
    machine.run(&["systemctl", "start", "global-lb"]).await?;
    eventually(SOON, "an answer", async || ask(&machine).await).await?;
    let pid = machine.property("global-lb", "MainPID").await?;
    let upgrade = ["dpkg", "-i", "/strata.deb"];
    let (told, asked) = meanwhile(&machine, &upgrade).await?;
    ensure!(asked > 2, "{asked} requests in {told}");
    ensure!(told.contains("over (0.0.9)"), "{told}");
    for unit in UNITS {
        let hint = format!("systemctl reload {unit}");
        ensure!(told.contains(&hint), "{told}");
    }
    ensure!(machine.property("global-lb", "MainPID").await? == pid);
    for (unit, wanted) in [("regional-lb", "enabled"), ("global-lb", "disabled")] {
        let state = machine.property(unit, "UnitFileState").await?;
        ensure!(state == wanted, "{unit} is {state}");
        let (_, asked) = meanwhile(&machine, &["systemctl", "reload", unit]).await?;
        ensure!(asked > 2, "{asked} requests");
        // Neither it nor the process before knows of the new unit's watchdog, and none is measured by it.
        let limit = machine.property(unit, "WatchdogUSec").await?;
        ensure!(["0", "infinity"].contains(&limit.as_str()), "{limit}");
    }
    ensure!(machine.property("global-lb", "MainPID").await? != pid);
    machine.run(&["systemctl", "restart", "global-lb"]).await?;
    let limit = machine.property("global-lb", "WatchdogUSec").await?;
    ensure!(limit == "30s", "{limit}");
    let version = machine.sh("dpkg-query -W -f '${Version}' strata").await?;
    ensure!(version.trim() == env!("CARGO_PKG_VERSION"), "{version}");
    Ok(())
}

/// Runs a program in the machine; asks through both tiers, one request after the other, until it has ended. None may fail.
async fn meanwhile(machine: &Machine, line: &[&str]) -> Result<(String, u32)> {
    let mut running = std::pin::pin!(machine.run(line));
    let mut asked = 0;
    loop {
        tokio::select! {
            told = &mut running => return Ok((told?, asked)),
            answered = ask(machine) => {
                answered.with_context(|| format!("{line:?}, request {asked}"))?;
                asked += 1;
            }
        }
    }
}

/// Both tiers under systemd, with the configuration that they came with; a reload of each while requests come.
async fn serve(machine: &Machine, dir: &Path) -> Result<()> {
    std::fs::write(dir.join("index.html"), "it works\n")?;
    let _one = server(machine, dir, 9001)?;
    let _two = server(machine, dir, 9002)?;
    for unit in UNITS {
        let started = machine.run(&["systemctl", "enable", "--now", unit]).await;
        if let Err(error) = started {
            return Err(machine.explained(unit, error).await);
        }
    }
    eventually(SOON, "an answer", async || ask(machine).await).await?;
    for unit in UNITS {
        let pid = machine.property(unit, "MainPID").await?;
        let user = machine.sh(&format!("stat -c %U /proc/{pid}")).await?;
        ensure!(user.trim() == "strata", "{user}");
        meanwhile(machine, &["systemctl", "reload", unit]).await?;
        let next = machine.property(unit, "MainPID").await?;
        ensure!(next != pid && next != "0", "{pid} {next}");
    }
    ask(machine).await
}

#[tokio::test]
async fn the_same_programs_give_the_same_package() -> Result<()> {
    if tools::find("dpkg-shlibdeps").is_none() {
        ensure!(std::env::var_os("CI").is_none(), "needs dpkg-dev");
        eprintln!("NOT TESTED: needs dpkg-dev");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let one = build(&dir.path().join("one")).await?;
    let two = build(&dir.path().join("two")).await?;
    ensure!(std::fs::read(one)? == std::fs::read(two)?, "they differ");
    Ok(())
}

#[tokio::test]
async fn the_units_leave_little_to_an_intruder() -> Result<()> {
    let Some(analyze) = tools::find("systemd-analyze") else {
        ensure!(std::env::var_os("CI").is_none(), "needs systemd-analyze");
        return Ok(());
    };
    for unit in UNITS {
        let path = format!("../packaging/systemd/{unit}.service");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        // In tenths: 2.0 of 10, where 10 is no protection at all.
        let launch = Launch::new("security", &analyze).args([
            "security",
            "--no-pager",
            "--offline=true",
            "--threshold=20",
        ]);
        launch.arg(path).run_ok(SOON).await?;
    }
    Ok(())
}
