//! `lbctl regions`: the regions and their replicas, as the global tier sees them.

use crate::args::Options;
use crate::client::Client;
use crate::drain;
use crate::failure::Failure;
use crate::output::View;
use crate::pools::{endpoint_columns, endpoint_row};
use crate::present::{self, Answered};
use crate::table::{Cell, Table, number, text};
use crate::words;
use lb_core::drain::DrainStatus;
use lb_core::status::RegionStatus;
use std::collections::BTreeMap;

/// Shows the regions of all replicas.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let client = Client::new(options)?;
    let told = |answers: &[Answered<Vec<RegionStatus>>], view| {
        draw(answers, &drain::list::by_admin(&client), view)
    };
    present::show(
        options,
        "/api/v1/regions",
        told,
        |regions: &Vec<RegionStatus>| regions.iter().map(|region| region.name.clone()).collect(),
    )
}

/// `drains` are the orders by the admin address of who shows them.
fn draw(
    answers: &[Answered<Vec<RegionStatus>>],
    drains: &BTreeMap<String, Vec<DrainStatus>>,
    view: View,
) -> String {
    let mut drawn = String::new();
    for (admin, regions) in answers {
        if answers.len() > 1 {
            drawn += &format!("# {admin}\n");
        }
        if regions.is_empty() {
            drawn += "no regions: a regional tier has pools (lbctl pools)\n";
            continue;
        }
        let orders = drains.get(admin).map_or(&[][..], Vec::as_slice);
        drawn += &table(regions, orders).draw(view);
        drawn.push('\n');
        let mut replicas = Table::new(endpoint_columns("REGION", "REPLICA"));
        for region in regions {
            for replica in &region.replicas {
                replicas.row(endpoint_row(&region.name, replica));
            }
        }
        drawn += &replicas.draw(view);
    }
    drawn
}

/// A column tells of orders, when there is one.
fn table(regions: &[RegionStatus], orders: &[DrainStatus]) -> Table {
    let order = |region: &RegionStatus| {
        let scope = format!("region/{}", region.name);
        orders.iter().find(|order| order.scope == scope)
    };
    let has_orders = regions.iter().any(|region| order(region).is_some());
    let column = if has_orders {
        text("DRAIN")
    } else {
        text("DRAIN").wide()
    };
    let mut table = Table::new([
        text("REGION"),
        text("STATE"),
        column,
        number("FOR"),
        number("PRIORITY"),
        number("WEIGHT"),
        number("REPLICAS"),
        number("SERVERS"),
        number("LOAD"),
        number("INFLIGHT"),
        number("REQUESTS"),
        number("FAILED"),
        number("LATENCY"),
        number("CAPACITY/S").wide(),
        number("REPORT AGE").wide(),
        text("WHY"),
    ]);
    for region in regions {
        table.row([
            Cell::from(&region.name),
            words::region(region.state),
            order(region).map_or_else(|| "-".into(), |order| words::drain(order.stage)),
            words::age(region.since_ms).into(),
            region.priority.to_string().into(),
            region.weight.to_string().into(),
            words::healthy(region.healthy, region.replicas.len()),
            words::percent(region.healthy_fraction).into(),
            words::percent(region.utilization).into(),
            region.inflight.to_string().into(),
            region.requests_total.to_string().into(),
            words::faults(region.failures_total),
            words::latency(region.latency_ms).into(),
            words::or_dash(region.capacity_rps).into(),
            words::or_dash(region.report_age_ms.map(words::age)).into(),
            (&region.why).into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn regions_and_replicas_are_shown() {
        let answers = [("127.0.0.1:9911".to_owned(), fixtures::global().regions)];
        let none = BTreeMap::new();
        insta::assert_snapshot!("regions", draw(&answers, &none, View::default()));
        let view = View {
            wide: true,
            colour: false,
        };
        insta::assert_snapshot!("regions_wide", draw(&answers, &none, view));
    }

    #[test]
    fn orders_have_a_column_when_there_are_any() {
        let answers = [("127.0.0.1:9911".to_owned(), fixtures::global().regions)];
        let order = DrainStatus {
            scope: "region/us-east".to_owned(),
            stage: lb_core::drain::Stage::Draining,
            ..DrainStatus::default()
        };
        let drains = BTreeMap::from([("127.0.0.1:9911".to_owned(), vec![order])]);
        let drawn = draw(&answers, &drains, View::default());
        assert!(
            drawn.contains("DRAIN") && drawn.contains("◔ draining"),
            "{drawn}"
        );
    }
}
