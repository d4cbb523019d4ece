//! What there is and what to try.

use super::topology::{Process, Role, Topology};
use crate::args::Format;
use crate::failure::{Exit, Failure};
use crate::output::{self, View};
use crate::table::{Cell, Table, number, text as column};
use crate::words;
use std::fmt::Write;

/// The topology in `format`: JSON on one line, so that a script reads a line and goes on.
pub(super) fn text(format: Format, topology: &Topology) -> Result<String, Failure> {
    match format {
        Format::Json => serde_json::to_string(topology)
            .map(|line| line + "\n")
            .map_err(|error| Failure::new(Exit::Failed, format!("can't write JSON: {error}"))),
        Format::Yaml => output::yaml(topology),
        Format::Name => {
            let names: Vec<_> = topology.processes.iter().map(|p| p.name.clone()).collect();
            Ok(output::lines(&names))
        }
        Format::Table | Format::Wide => Ok(guide(topology, &own_name(), View::detect(format))),
    }
}

fn guide(topology: &Topology, lbctl: &str, view: View) -> String {
    let mut table = Table::new([
        column("ROLE"),
        column("NAME"),
        column("REGION"),
        number("PID"),
        column("ADDRESS"),
        column("ADMIN"),
        column("LOG").wide(),
    ]);
    for role in [Role::GlobalLb, Role::RegionalLb, Role::Server] {
        for process in topology.of(role, None) {
            table.row([
                Cell::from(role.as_str()),
                (&process.name).into(),
                words::or_dash(process.region).into(),
                process.pid.to_string().into(),
                process.address.to_string().into(),
                words::or_dash(process.admin).into(),
                process.log.display().to_string().into(),
            ]);
        }
    }
    let mut told = table.draw(view);
    told.push('\n');
    for (what, how) in tries(topology, lbctl) {
        // Writing to a string can't fail.
        let _ = writeln!(told, "{what:<24}{how}");
    }
    let _ = writeln!(
        told,
        "\nConfiguration and logs are in {} until Ctrl-C stops all.",
        topology.directory.display()
    );
    told
}

fn tries(topology: &Topology, lbctl: &str) -> Vec<(&'static str, String)> {
    let url = &topology.url;
    let region = Topology::regions().first().copied();
    let pids = |role| {
        let pids: Vec<_> = topology
            .of(role, region)
            .map(|p| p.pid.to_string())
            .collect();
        pids
    };
    let (replicas, servers) = (pids(Role::RegionalLb), pids(Role::Server));
    let first = |pids: &[String]| pids.first().cloned().unwrap_or_default();
    let global = admins(topology.of(Role::GlobalLb, None));
    let regional = admins(topology.of(Role::RegionalLb, region).take(1));
    let one = global.split(',').next().unwrap_or_default();
    let name = region.unwrap_or_default();
    let steer = format!(
        "{lbctl} --admin {one} --token-file {}",
        topology.token.display()
    );
    vec![
        ("Ask", format!("curl -i {url}")),
        (
            "Keep asking",
            format!("while :; do curl -sS {url}; sleep 0.1; done"),
        ),
        ("Kill a server", format!("kill -9 {}", first(&servers))),
        ("Kill a replica", format!("kill -9 {}", first(&replicas))),
        (
            "Freeze a replica",
            format!(
                "kill -STOP {}",
                replicas.last().cloned().unwrap_or_default()
            ),
        ),
        (
            "Kill a whole region",
            format!("kill -9 {}", replicas.join(" ")),
        ),
        ("See who serves", format!("{lbctl} --admin {global} status")),
        ("See the regions", format!("{lbctl} --admin {one} regions")),
        (
            "See the servers",
            format!("{lbctl} --admin {regional} pools"),
        ),
        ("Ask why", format!("{lbctl} --admin {one} explain {url}")),
        (
            "Drain a region",
            format!("{steer} region drain {name} --over 10s --reason demo --wait-drained"),
        ),
        (
            "Bring it back",
            format!("{steer} region undrain {name} --over 10s"),
        ),
    ]
}

fn admins<'a>(processes: impl Iterator<Item = &'a Process>) -> String {
    let admins: Vec<_> = processes
        .filter_map(|p| p.admin)
        .map(|a| a.to_string())
        .collect();
    admins.join(",")
}

/// This program as the user called it.
fn own_name() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "lbctl".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn started() -> Topology {
        let mut topology = Topology::at(18_000, Path::new("/tmp/lbctl-demo-1-0"));
        for (process, pid) in topology.processes.iter_mut().zip(1001..) {
            process.pid = pid;
        }
        topology
    }

    #[test]
    fn the_guide_names_addresses_pids_and_commands() {
        insta::assert_snapshot!(guide(&started(), "lbctl", View::default()));
    }

    #[test]
    fn json_is_one_line() {
        let text = text(Format::Json, &started()).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let last = value["processes"].as_array().unwrap().last().unwrap();
        assert_eq!(last["role"], "global-lb");
        assert_eq!(last["admin"], "127.0.0.1:18011");
    }
}
