use super::*;
use crate::config::model::Retry;
use rand::SeedableRng;
use rand::rngs::SmallRng;

fn facts(idempotent: bool, tries: u32) -> Facts {
    Facts {
        idempotent,
        replayable: true,
        tries,
        deadline: Instant::from_millis(1000),
    }
}

fn decide(failure: Failure, facts: &Facts, extra: u32) -> Verdict {
    let rules = Rules::new(&Retry::default());
    let budget = Budget::new(0.2, 10);
    rules.decide(
        failure,
        facts,
        extra,
        &budget,
        Instant::ZERO,
        &mut SmallRng::seed_from_u64(1),
    )
}

#[test]
fn a_sent_post_is_never_repeated() {
    for failure in [
        Failure::Reset,
        Failure::Stale,
        Failure::FirstByteTimeout,
        Failure::Malformed,
        Failure::Status(503),
    ] {
        assert_eq!(
            decide(failure, &facts(false, 1), 0),
            Verdict::Stop(Stop::Unsafe),
            "{failure:?}"
        );
    }
}

#[test]
fn what_was_never_sent_is_repeated_whatever_the_method() {
    for failure in [Failure::Connect, Failure::NotProcessed, Failure::Unserved] {
        assert!(
            matches!(decide(failure, &facts(false, 1), 0), Verdict::Retry(_)),
            "{failure:?}"
        );
    }
}

#[test]
fn a_connection_that_was_closed_for_idleness_convicts_nobody() {
    assert!(!Failure::Stale.is_gateway_error());
    assert!(matches!(
        decide(Failure::Stale, &facts(true, 1), 0),
        Verdict::Retry(_)
    ));
}

#[test]
fn tries_are_bounded_and_the_tier_may_add_one() {
    assert_eq!(
        decide(Failure::Reset, &facts(true, 2), 0),
        Verdict::Stop(Stop::Spent)
    );
    assert!(matches!(
        decide(Failure::Reset, &facts(true, 2), 1),
        Verdict::Retry(_)
    ));
}

#[test]
fn a_body_that_is_gone_forbids_a_retry() {
    let gone = Facts {
        replayable: false,
        ..facts(true, 1)
    };
    assert_eq!(
        decide(Failure::Connect, &gone, 0),
        Verdict::Stop(Stop::Unsafe)
    );
}

#[test]
fn only_configured_statuses_are_retried() {
    assert_eq!(
        decide(Failure::Status(500), &facts(true, 1), 0),
        Verdict::Stop(Stop::Final)
    );
    assert!(matches!(
        decide(Failure::Status(503), &facts(true, 1), 0),
        Verdict::Retry(_)
    ));
}

#[test]
fn no_retry_starts_after_the_deadline() {
    let late = Facts {
        deadline: Instant::from_millis(4),
        ..facts(true, 1)
    };
    assert_eq!(
        decide(Failure::Reset, &late, 0),
        Verdict::Stop(Stop::Deadline)
    );
}

#[test]
fn an_exhausted_budget_passes_the_first_error_on() {
    let rules = Rules::new(&Retry::default());
    let budget = Budget::new(0.0, 0);
    let verdict = rules.decide(
        Failure::Reset,
        &facts(true, 1),
        0,
        &budget,
        Instant::ZERO,
        &mut SmallRng::seed_from_u64(1),
    );
    assert_eq!(verdict, Verdict::Stop(Stop::Budget));
}

#[test]
fn pauses_lie_between_the_bounds() {
    let rules = Rules::new(&Retry::default());
    let mut rng = SmallRng::seed_from_u64(7);
    for _ in 0..1000 {
        let pause = rules.draw_pause(&mut rng);
        assert!((5..=25).contains(&(pause.as_millis() as u64)), "{pause:?}");
    }
}
