use super::*;
use proptest::prelude::*;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn claim(want: Want, since: u64) -> Claim {
    Claim {
        by_operator: false,
        want,
        since: at(since),
    }
}

fn settle(claims: &[Claim]) -> (Vec<Verdict>, bool) {
    let mut verdicts = Vec::new();
    let open = limit(claims, 0.5, &mut verdicts);
    (verdicts, open)
}

#[test]
fn half_may_go_and_the_first_stay_out() {
    let claims = [
        claim(Want::OutByChecks, 30),
        claim(Want::OutByTraffic, 10),
        claim(Want::OutByChecks, 20),
        claim(Want::In, 0),
    ];
    let (verdicts, open) = settle(&claims);
    assert!(!open);
    assert_eq!(
        verdicts[0],
        Verdict::Retained(TRICKLE),
        "the last to go keeps a trickle"
    );
    assert_eq!(verdicts[1..], [Verdict::AsJudged; 3]);
}

#[test]
fn what_traffic_convicted_is_retained_with_a_trickle() {
    let claims = [
        claim(Want::OutByChecks, 10),
        claim(Want::OutByTraffic, 20),
        claim(Want::In, 0),
    ];
    assert_eq!(settle(&claims).0[1], Verdict::Retained(TRICKLE));
}

#[test]
fn when_all_are_condemned_all_are_used() {
    let claims = [claim(Want::OutByChecks, 1), claim(Want::OutByTraffic, 2)];
    assert_eq!(settle(&claims), (vec![Verdict::Retained(1.0); 2], true));
    assert_eq!(
        settle(&[claim(Want::OutByTraffic, 1)]).0,
        [Verdict::Retained(1.0)],
        "the only region stays"
    );
}

#[test]
fn the_undecided_go_before_the_condemned() {
    let claims = [claim(Want::OutByChecks, 1), claim(Want::Undecided, 0)];
    assert_eq!(
        settle(&claims).0,
        [Verdict::AsJudged, Verdict::Retained(1.0)]
    );
}

#[test]
fn drained_regions_do_not_count() {
    let drained = Claim {
        by_operator: true,
        ..claim(Want::In, 0)
    };
    let claims = [drained, claim(Want::OutByChecks, 1), claim(Want::In, 0)];
    assert_eq!(
        settle(&claims).0,
        [Verdict::AsJudged; 3],
        "one of two may go"
    );
    let (verdicts, open) = settle(&[drained, claim(Want::OutByChecks, 1)]);
    assert!(open && verdicts[0] == Verdict::AsJudged);
}

fn reach(lost: Option<u64>, reported_well: bool) -> Reach {
    Reach {
        by_operator: false,
        lost: lost.map(at),
        reported_well,
    }
}

#[test]
fn losing_most_regions_at_once_is_isolation() {
    let mut isolation = Isolation::default();
    let one = [reach(Some(0), true), reach(None, true), reach(None, true)];
    assert_eq!(isolation.observe(&one, at(1_000)), None, "one region died");
    let two = [
        reach(Some(0), true),
        reach(Some(3_000), true),
        reach(None, true),
    ];
    assert_eq!(isolation.observe(&two, at(3_000)), Some(true));
    assert!(isolation.is_isolated());
    assert_eq!(isolation.observe(&one, at(10_000)), None);
    assert_eq!(isolation.observe(&one, at(15_000)), Some(false));
}

#[test]
fn regions_that_said_they_were_ill_or_died_one_by_one_are_no_isolation() {
    let ill = [reach(Some(0), false), reach(Some(0), false)];
    assert_eq!(Isolation::default().observe(&ill, at(1)), None);
    let slowly = [
        reach(Some(0), true),
        reach(Some(60_000), true),
        reach(None, true),
    ];
    assert_eq!(Isolation::default().observe(&slowly, at(60_000)), None);
    let only = [reach(Some(0), true)];
    assert_eq!(
        Isolation::default().observe(&only, at(1)),
        None,
        "one region says nothing of us"
    );
}

proptest! {
    #[test]
    fn no_more_than_half_goes_and_something_always_stays(
        parts in proptest::collection::vec((any::<bool>(), 0u8..4, 0u64..100), 1..12)
    ) {
        let want = |n| [Want::In, Want::Undecided, Want::OutByChecks, Want::OutByTraffic][n as usize];
        let claims: Vec<Claim> = parts
            .into_iter()
            .map(|(by_operator, n, since)| Claim { by_operator, ..claim(want(n), since) })
            .collect();
        let (verdicts, open) = settle(&claims);
        let mine: Vec<_> = claims.iter().zip(&verdicts).filter(|(c, _)| !c.by_operator).collect();
        let out = mine.iter().filter(|(c, v)| c.want.is_out() && **v == Verdict::AsJudged).count();
        let undecided = mine.iter().any(|(c, _)| c.want == Want::Undecided);
        prop_assert!(out * 2 <= mine.len() || (open && undecided), "{:?}", mine);
        let serving = mine.iter().filter(|(c, v)| c.want == Want::In || **v != Verdict::AsJudged);
        prop_assert!(mine.is_empty() || serving.count() > 0);
        let operators = claims.iter().zip(&verdicts).filter(|(c, _)| c.by_operator);
        prop_assert!(operators.into_iter().all(|(_, v)| *v == Verdict::AsJudged));
    }
}
