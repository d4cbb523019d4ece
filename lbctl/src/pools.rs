//! `lbctl pools`: the pools and their servers.

use crate::args::Options;
use crate::failure::Failure;
use crate::output::View;
use crate::present::{self, Answered};
use crate::table::{Cell, Column, Table, Tone, number, text};
use crate::words;
use lb_core::status::{AdmissionStatus, EndpointStatus, PoolStatus};

/// Shows the pools of all replicas.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    present::show(options, "/api/v1/pools", draw, |pools: &Vec<PoolStatus>| {
        pools.iter().map(|pool| pool.name.clone()).collect()
    })
}

fn draw(answers: &[Answered<Vec<PoolStatus>>], view: View) -> String {
    let mut drawn = String::new();
    for (admin, pools) in answers {
        if answers.len() > 1 {
            drawn += &format!("# {admin}\n");
        }
        if pools.is_empty() {
            drawn += "no pools: the global tier has regions (lbctl regions)\n";
            continue;
        }
        drawn += &table(pools).draw(view);
        for pool in pools {
            if let Some(trouble) = &pool.trouble {
                drawn += &format!(
                    "! pool {}: {trouble}; the last known servers stay\n",
                    pool.name
                );
            }
        }
        drawn.push('\n');
        let mut servers = Table::new(endpoint_columns("POOL", "SERVER"));
        for pool in pools {
            for endpoint in &pool.endpoints {
                servers.row(endpoint_row(&pool.name, endpoint));
            }
        }
        drawn += &servers.draw(view);
    }
    drawn
}

fn table(pools: &[PoolStatus]) -> Table {
    let mut table = Table::new([
        text("POOL"),
        number("HEALTHY"),
        text("MODE"),
        text("POLICY"),
        text("PROTOCOL"),
        number("INFLIGHT"),
        number("LIMIT"),
        number("WAITING").wide(),
        number("REQUESTS"),
        number("SHED"),
        number("RETRIED"),
        number("REFUSED RETRIES").wide(),
    ]);
    for pool in pools {
        let mode = if pool.panic {
            Cell::new("▲ panic: health ignored", Tone::Bad)
        } else if pool.last_resort {
            Cell::new("▲ last resort: drained servers", Tone::Bad)
        } else {
            "normal".into()
        };
        let tls = if pool.tls { "+tls" } else { "" };
        table.row([
            Cell::from(&pool.name),
            words::healthy(pool.healthy, pool.total as usize),
            mode,
            (&pool.policy).into(),
            format!("{}{tls}", pool.protocol).into(),
            pool.inflight.to_string().into(),
            limit(&pool.admission),
            pool.admission.pending.to_string().into(),
            pool.requests_total.to_string().into(),
            words::faults(pool.admission.shed_total),
            words::faults(pool.retries_total),
            words::faults(pool.retries_refused_total),
        ]);
    }
    table
}

/// The adaptive limit while it holds requests back: the open one says nothing.
fn limit(admission: &AdmissionStatus) -> Cell {
    match (admission.limit, admission.phase.as_str()) {
        (Some(_), "open") => "open".into(),
        (Some(limit), _) => Cell::new(format!("{} of {limit}", admission.inflight), Tone::Warn),
        (None, _) => "-".into(),
    }
}

/// Columns of endpoints: servers of a pool, or regional replicas of a region.
pub(crate) fn endpoint_columns(owner: &'static str, name: &'static str) -> Vec<Column> {
    vec![
        text(owner),
        text(name),
        text("ADDRESS"),
        text("STATE"),
        number("FOR"),
        number("WEIGHT"),
        number("SHARE"),
        number("INFLIGHT"),
        number("LATENCY"),
        number("REQUESTS"),
        number("FAILED"),
        text("ZONE").wide(),
        text("LAST CHECK").wide(),
        number("EJECTIONS").wide(),
        number("BACK IN").wide(),
        text("WHY"),
    ]
}

/// A row under [`endpoint_columns`].
pub(crate) fn endpoint_row(owner: &str, endpoint: &EndpointStatus) -> Vec<Cell> {
    let back = endpoint.ejected_for_ms.map(words::age);
    vec![
        owner.into(),
        (&endpoint.server).into(),
        (&endpoint.address).into(),
        words::endpoint(endpoint.state),
        words::age(endpoint.since_ms).into(),
        endpoint.weight.to_string().into(),
        words::share(endpoint.share),
        endpoint.inflight.to_string().into(),
        words::latency(endpoint.latency_ms).into(),
        endpoint.requests_total.to_string().into(),
        words::faults(endpoint.failures_total),
        words::or_dash(endpoint.zone.as_deref()).into(),
        words::check(endpoint.last_check.as_ref()),
        words::faults(endpoint.ejections_total),
        words::or_dash(back).into(),
        (&endpoint.why).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn pools_and_servers_are_shown() {
        let answers = [("127.0.0.1:9901".to_owned(), fixtures::regional().pools)];
        insta::assert_snapshot!("pools", draw(&answers, View::default()));
        let view = View {
            wide: true,
            colour: false,
        };
        insta::assert_snapshot!("pools_wide", draw(&answers, view));
    }
}
