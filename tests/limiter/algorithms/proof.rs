//! What the other tests rest on: the reference's searches find what trying one after another
//! finds, and the random traces go where something could go wrong.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tollgate::{Algorithm, Outcome};

use support::reference::{
    Action, Answer, Event, Numbers, Reference, START, cases, for_all_six, micros, play, quotas,
    steps,
};

/// One by one over all costs and all microseconds, with periods short enough for that.
fn searching_finds_what_trying_finds(algorithm: Algorithm) {
    let numbers =
        (1_u32..=4, 1_000_u64..=1_500).prop_map(|(limit, period)| Numbers::new(limit, period));
    let charges = prop::collection::vec((0_u64..700, 1_u32..=2, any::<bool>()), 1..8);
    proptest!(cases(20, 200), |(numbers in numbers, charges in charges)| {
        let mut reference = Reference::new(algorithm, &[numbers]);
        let mut now = START;
        for (gap, cost, back) in charges {
            now += gap;
            let admitted = reference.charge(now, cost).outcome == Outcome::Allowed;
            if admitted && back {
                reference.refund(now + 1, now, cost);
                now += 1;
            }
        }
        let first = |cost| (0..).find(|span| reference.admits(now + span, cost)).unwrap();
        let state = reference.peek(now, 1).quotas[0];
        let remaining = (0..=numbers.limit).filter(|cost| reference.admits(now, *cost)).max().unwrap();
        prop_assert_eq!(state.remaining(), remaining);
        prop_assert_eq!(micros(state.reset_after()), first(numbers.limit));
        prop_assert_eq!(micros(state.more_after()), first((remaining + 1).min(numbers.limit)));
        for cost in 1..=numbers.limit {
            let retry_after = match reference.peek(now, cost).outcome {
                Outcome::Allowed => 0,
                Outcome::Refused { retry_after } => micros(retry_after),
                other => unreachable!("{other:?}, though it is no more than the limit"),
            };
            prop_assert_eq!(retry_after, first(cost));
        }
    });
}

for_all_six!(searching_finds_what_trying_finds);

/// How often, in 300 traces, each of the things happened that could go wrong.
fn go_where_it_is_hard(algorithm: Algorithm) {
    let mut runner = TestRunner::deterministic();
    let traces = (quotas(algorithm), steps(60));
    let mut seen = BTreeMap::new();
    for _ in 0..300 {
        let (numbers, steps) = traces.new_tree(&mut runner).unwrap().current();
        look(&play(algorithm, &numbers, &steps), |what| *seen.entry(what).or_insert(0) += 1);
    }
    for what in [
        "admitted",
        "the last unit",
        "refused",
        "refused by one quota of several",
        "never",
        "at its instant",
        "a microsecond early",
        "given back",
        "not given back",
        "reset",
    ] {
        let times = seen.get(what).copied().unwrap_or(0);
        assert!(times >= 50, "{what}: only {times} times; all: {seen:?}");
    }
}

for_all_six!(go_where_it_is_hard);

fn look(events: &[Event], mut see: impl FnMut(&'static str)) {
    let mut retry_at = None;
    for event in events {
        match (event.action, &event.answer) {
            (Action::Charge(cost), Answer::Decision(decision)) if cost > 0 => {
                match decision.outcome {
                    Outcome::Allowed => {
                        see("admitted");
                        if decision.quotas.iter().any(|quota| quota.remaining() == 0) {
                            see("the last unit");
                        }
                        if retry_at == Some(event.at) {
                            see("at its instant");
                        }
                    }
                    Outcome::Refused { retry_after } => {
                        see("refused");
                        if decision.quotas.iter().any(|quota| !quota.is_exceeded()) {
                            see("refused by one quota of several");
                        }
                        if micros(retry_after) == 1 {
                            see("a microsecond early");
                        }
                        retry_at = Some(event.at + micros(retry_after));
                    }
                    Outcome::Never => see("never"),
                    other => unreachable!("{other:?}"),
                }
            }
            (Action::Refund(_), Answer::Refunded(true)) => see("given back"),
            (Action::Refund(_), Answer::Refunded(false)) => see("not given back"),
            (Action::Reset, _) => see("reset"),
            _ => {}
        }
    }
}
