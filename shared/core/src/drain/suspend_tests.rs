use super::*;
use crate::drain::book_tests::record;
use crate::name::{PoolName, RegionName};
use proptest::prelude::*;

const NOW: u64 = 1_000_000;

fn server(name: usize) -> Scope {
    Scope::Server {
        pool: PoolName::new("web").unwrap(),
        server: ServerName::new(&format!("web-{name}")).unwrap(),
    }
}

fn drain(name: usize, at: u64) -> Record {
    Record {
        scope: server(name),
        ..record("x", Action::Drain, NOW + at)
    }
}

fn fact(name: &str, is_usable: bool) -> Facts {
    Facts {
        name: RegionName::new(name).unwrap(),
        in_service: true,
        is_usable,
        utilization: None,
        failures: 0.0,
        in_flight: 0,
    }
}

fn offline(name: &str, at: u64) -> Record {
    record(name, Action::Offline, NOW + at)
}

fn soft(orders: &[Record], facts: &[Facts]) -> Vec<String> {
    let mut book = Book::default();
    for order in orders {
        book.take(order.clone()).unwrap();
    }
    let found = softened(&book, facts, NOW + 200_000);
    let mut found: Vec<String> = found.iter().map(ToString::to_string).collect();
    found.sort();
    found
}

#[test]
fn the_later_of_two_offlines_that_take_the_last_usable_region_is_a_drain_meanwhile() {
    let mut sick = [fact("eu", true), fact("us", true), fact("ap", false)];
    let both = [offline("eu", 0), offline("us", 500)];
    assert_eq!(soft(&both, &sick), ["region/us"]);
    sick[2].is_usable = true;
    assert!(soft(&both, &sick).is_empty(), "another one is there");
    sick[2].is_usable = false;
    assert!(soft(&both[..1], &sick).is_empty(), "only one was given");
    let apart = [offline("eu", 0), offline("us", TOGETHER)];
    assert!(soft(&apart, &sick).is_empty(), "it had the other in view");
    let mut forced = both.clone();
    forced[1].overrides = vec![Rule::LastRegion];
    assert!(soft(&forced, &sick).is_empty());
    sick[0].is_usable = false;
    assert!(soft(&both, &sick).is_empty(), "eu took nothing away");
}

proptest! {
    /// Whatever is ordered at whichever replicas, a server stays unless somebody broke the rule by name, only as many orders are
    /// suspended as have to be, none of them older than one that is obeyed, and it doesn't matter who heard of which order first.
    #[test]
    fn a_server_always_stays(
        count in 1usize..6,
        drained in proptest::collection::btree_map(0usize..8, (0u64..1000, any::<bool>()), 0..8),
        turn in 0usize..8,
    ) {
        let orders: Vec<Record> = drained
            .iter()
            .map(|(name, (at, forced))| {
                let mut order = drain(*name, *at);
                order.created.replica = format!("r{name}");
                if *forced {
                    order.overrides = vec![Rule::LastServer];
                }
                order
            })
            .collect();
        let servers = || (0..count).map(server);
        let found = suspended_servers(orders.iter(), servers());
        let mut turned = orders.clone();
        turned.rotate_left(turn.min(orders.len()));
        prop_assert_eq!(&found, &suspended_servers(turned.iter(), servers()));
        let name = |order: &Record| match &order.scope {
            Scope::Server { server, .. } => server.clone(),
            Scope::Region(_) => unreachable!(),
        };
        let ours = || orders.iter().filter(|o| servers().any(|s| s == o.scope));
        let obeyed = || ours().filter(|o| !found.contains(&name(o)));
        let forced = ours().any(|o| o.may_break(Rule::LastServer));
        prop_assert!(forced || obeyed().count() < count, "{found:?}");
        prop_assert!(found.len() <= 1, "{:?}", found);
        for yields in ours().filter(|o| found.contains(&name(o))) {
            prop_assert!(obeyed().count() + 1 >= count);
            let is_later = |o: &Record| o.may_break(Rule::LastServer) || o.created < yields.created;
            prop_assert!(obeyed().all(is_later));
        }
    }
}
