use super::*;

/// Steps of 100 ms for `seconds`, with one latency in milliseconds for each region; checks the bounds on the way.
fn run(regions: &mut [LatencyShift], clock: &mut u64, seconds: u64, latencies: &[f64]) {
    for _ in 0..seconds * 10 {
        *clock += 100;
        let now = Instant::from_millis(*clock);
        for (region, millis) in regions.iter_mut().zip(latencies) {
            region.observe(Some(Duration::from_secs_f64(millis / 1e3)), now);
        }
        let before: Vec<f64> = regions.iter().map(LatencyShift::share).collect();
        settle(
            &mut regions.iter_mut().collect::<Vec<_>>(),
            Duration::from_millis(100),
        );
        for (region, before) in regions.iter().zip(before) {
            assert!((LEAST..=1.0).contains(&region.share));
            assert!(region.share - before <= BACK * 0.1 + 1e-9);
            assert!(before - region.share <= AWAY * 0.1 + 1e-9);
        }
    }
}

fn fresh(count: usize) -> (Vec<LatencyShift>, u64) {
    (vec![LatencyShift::new(Instant::ZERO); count], 0)
}

fn shares(regions: &[LatencyShift]) -> Vec<f64> {
    regions.iter().map(LatencyShift::share).collect()
}

#[test]
fn a_region_five_times_slower_loses_its_share_gradually_and_gets_it_back() {
    let (mut regions, mut clock) = fresh(3);
    run(&mut regions, &mut clock, 300, &[20.0, 25.0, 90.0]);
    assert_eq!(shares(&regions), [1.0; 3]);
    run(&mut regions, &mut clock, 5, &[100.0, 25.0, 90.0]);
    assert!(regions[0].share > 0.6, "not at once: {:?}", regions[0]);
    run(&mut regions, &mut clock, 40, &[100.0, 25.0, 90.0]);
    assert!(regions[0].share <= LEAST + 1e-9, "{:?}", regions[0]);
    assert_eq!(shares(&regions)[1..], [1.0; 2]);
    run(&mut regions, &mut clock, 1200, &[100.0, 25.0, 90.0]);
    assert!(
        regions[0].share < 0.5,
        "twenty slow minutes are not normal yet: {:?}",
        regions[0]
    );
    run(&mut regions, &mut clock, 60, &[20.0, 25.0, 90.0]);
    assert_eq!(shares(&regions), [1.0; 3]);
}

#[test]
fn a_slow_down_that_all_share_moves_nothing() {
    let (mut regions, mut clock) = fresh(3);
    run(&mut regions, &mut clock, 300, &[20.0, 25.0, 90.0]);
    run(&mut regions, &mut clock, 300, &[100.0, 120.0, 420.0]);
    assert_eq!(shares(&regions), [1.0; 3]);
}

#[test]
fn a_move_must_be_worth_while() {
    let (mut regions, mut clock) = fresh(2);
    run(&mut regions, &mut clock, 300, &[1.0, 1.0]);
    run(&mut regions, &mut clock, 60, &[6.0, 1.0]);
    assert_eq!(shares(&regions), [1.0; 2], "5 ms are not worth it");
    let (mut regions, mut clock) = fresh(2);
    run(&mut regions, &mut clock, 300, &[10.0, 150.0]);
    run(&mut regions, &mut clock, 60, &[60.0, 150.0]);
    assert_eq!(shares(&regions), [1.0; 2], "the other one is slower still");
}

#[test]
fn without_others_or_without_a_past_nothing_moves() {
    let (mut regions, mut clock) = fresh(1);
    run(&mut regions, &mut clock, 300, &[20.0]);
    run(&mut regions, &mut clock, 60, &[200.0]);
    assert_eq!(shares(&regions), [1.0]);
    let (mut regions, mut clock) = fresh(2);
    run(&mut regions, &mut clock, 60, &[200.0, 20.0]);
    assert_eq!(shares(&regions), [1.0; 2]);
}

#[test]
fn a_short_past_is_enough_and_forgotten_sooner() {
    let (mut regions, mut clock) = fresh(3);
    run(&mut regions, &mut clock, 5, &[20.0; 3]);
    run(&mut regions, &mut clock, 10, &[100.0, 20.0, 20.0]);
    assert!(regions[0].share < 0.7, "{:?}", regions[0]);
    run(&mut regions, &mut clock, 900, &[100.0, 20.0, 20.0]);
    assert_eq!(regions[0].share, 1.0, "five seconds prove little");
}
