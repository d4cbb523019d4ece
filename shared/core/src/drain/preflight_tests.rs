use super::*;
use proptest::prelude::*;

fn place(name: &str, demand: f64, capacity: f64, inherits: f64) -> Place {
    Place {
        name: RegionName::new(name).unwrap(),
        takes: true,
        demand_rps: Some(demand),
        capacity_rps: Some(capacity),
        is_fresh: true,
        inherits,
    }
}

fn rules(forecast: &Forecast) -> Vec<Rule> {
    forecast.refusals.iter().map(|r| r.rule).collect()
}

#[test]
fn the_receivers_load_is_told() {
    let places = [
        place("eu", 60.0, 100.0, 0.0),
        place("us", 30.0, 100.0, 2.0),
        place("ap", 10.0, 100.0, 1.0),
    ];
    let forecast = preflight(&places, 0, 0.0).unwrap();
    assert_eq!(forecast.moves_rps, Some(60.0));
    let after: Vec<f64> = forecast
        .receivers
        .iter()
        .map(|r| r.after.unwrap())
        .collect();
    assert!(
        (after[0] - 0.7).abs() < 1e-9 && (after[1] - 0.3).abs() < 1e-9,
        "{after:?}"
    );
    assert_eq!(rules(&forecast), []);
    assert_eq!(forecast.survives_one_more, Some(true), "100 fits into one");
    let half = preflight(&places, 0, 0.5).unwrap();
    assert_eq!(half.receivers[0].after, Some(0.5));
}

#[test]
fn what_has_no_room_goes_on_to_those_with_room() {
    let places = [
        place("eu", 60.0, 100.0, 0.0),
        place("us", 80.0, 100.0, 1.0),
        place("ap", 10.0, 100.0, 0.0),
    ];
    let forecast = preflight(&places, 0, 0.0).unwrap();
    let after: Vec<f64> = forecast
        .receivers
        .iter()
        .map(|r| r.after.unwrap())
        .collect();
    assert!(
        (after[0] - 0.95).abs() < 1e-9 && (after[1] - 0.55).abs() < 1e-9,
        "{after:?}"
    );
    assert_eq!(forecast.receivers[0].fit, Fit::Tight);
    assert_eq!(rules(&forecast), []);
    assert_eq!(forecast.survives_one_more, Some(false));
}

#[test]
fn too_much_is_refused_with_the_load_that_it_would_make() {
    let places = [place("eu", 90.0, 100.0, 0.0), place("us", 60.0, 100.0, 1.0)];
    let forecast = preflight(&places, 0, 0.0).unwrap();
    assert_eq!(rules(&forecast), [Rule::OverCapacity]);
    let why = &forecast.refusals[0].why;
    assert!(
        why.contains("us") && why.contains("150 %") && why.contains("60 %"),
        "{why}"
    );
    assert_eq!(
        rules(&preflight(&places, 0, 0.8).unwrap()),
        [],
        "a fifth of it fits"
    );
}

#[test]
fn the_last_region_and_silent_ones_are_refused() {
    let mut places = [place("eu", 10.0, 100.0, 0.0), place("us", 10.0, 100.0, 1.0)];
    places[1].is_fresh = false;
    assert_eq!(
        rules(&preflight(&places, 0, 0.0).unwrap()),
        [Rule::StaleReports]
    );
    places[1].takes = false;
    assert_eq!(
        rules(&preflight(&places, 0, 0.0).unwrap()),
        [Rule::LastRegion]
    );
    assert_eq!(rules(&preflight(&places, 0, 0.5).unwrap()), []);
    assert_eq!(
        rules(&preflight(&places, 1, 0.0).unwrap()),
        [],
        "it takes nothing as it is"
    );
    assert!(preflight(&places, 2, 0.0).is_none());
}

#[test]
fn what_is_unknown_is_told_and_no_refusal() {
    let mut places = [place("eu", 90.0, 100.0, 0.0), place("us", 60.0, 100.0, 1.0)];
    places[1].capacity_rps = None;
    let forecast = preflight(&places, 0, 0.0).unwrap();
    assert_eq!(
        (forecast.receivers[0].fit, forecast.receivers[0].after),
        (Fit::Unknown, None)
    );
    assert_eq!(rules(&forecast), []);
    assert_eq!(forecast.survives_one_more, None);
}

proptest! {
    /// Nothing is lost or made up: what leaves arrives.
    #[test]
    fn what_leaves_arrives(
        rows in proptest::collection::vec((0.0f64..200.0, 1.0f64..200.0, 0.0f64..3.0, any::<bool>()), 2..8),
        keep in 0.0f64..1.0,
    ) {
        let places: Vec<Place> = rows.iter().enumerate().map(|(i, (demand, capacity, inherits, known))| {
            let mut place = place(&format!("r{i}"), *demand, *capacity, *inherits);
            place.capacity_rps = known.then_some(*capacity);
            place
        }).collect();
        let forecast = preflight(&places, 0, keep).unwrap();
        let arrived: f64 = forecast.receivers.iter().map(|r| r.takes_rps).sum();
        prop_assert!((arrived - forecast.moves_rps.unwrap()).abs() < 1e-6, "{arrived}");
    }
}
