//! The bound: no half-open window as long as the period admits more, wherever it begins; and
//! where the bound is said to be tight, it is reached. What was given back does not count.

use proptest::prelude::*;
use tollgate::{Algorithm, Outcome};

use support::reference::{
    Action, Answer, Cost, Event, Move, Numbers, Step, cases, for_all_six, numbers, play, quotas,
    steps, worst_window,
};
use support::subject::{Replay, Subject};

/// What the limiter admits of a trace and does not take back: when, and how much.
fn admitted(algorithm: Algorithm, numbers: &[Numbers], events: &[Event]) -> Vec<(u64, u64)> {
    let mut replay = Replay::new(algorithm, numbers);
    let mut admitted = vec![None; events.len()];
    for (index, event) in events.iter().enumerate() {
        match (event.action, replay.answer(event)) {
            (Action::Charge(cost), Answer::Decision(decision))
                if decision.outcome == Outcome::Allowed =>
            {
                admitted[index] = Some((event.at, cost.into()));
            }
            (Action::Refund(of), Answer::Refunded(true)) => admitted[of] = None,
            _ => {}
        }
    }
    admitted.into_iter().flatten().collect()
}

fn holds_on_random_traces(algorithm: Algorithm) {
    proptest!(cases(100, 5_000), |(numbers in quotas(algorithm), steps in steps(60))| {
        within_the_bound(algorithm, &numbers, &steps)?;
    });
}

for_all_six!(holds_on_random_traces);

/// Who takes all there is, at the instants where windows meet and where something comes back.
fn holds_against_the_greedy(algorithm: Algorithm) {
    let greedy = prop_oneof![
        4 => Just(Step::Charge(Cost::Remaining(0))),
        2 => Just(Step::Charge(Cost::Units(1))),
        1 => Just(Step::Charge(Cost::Remaining(-1))),
        2 => (0_usize..3).prop_map(Step::Refund),
        2 => (-2_i64..=1).prop_map(|beside| Step::Pass(Move::Edge(0, beside))),
        2 => (-1_i64..=0).prop_map(|beside| Step::Pass(Move::More(0, beside))),
        1 => (-1_i64..=0).prop_map(|beside| Step::Pass(Move::Whole(0, beside))),
        1 => (-1_i64..=0).prop_map(|beside| Step::Pass(Move::Granule(0, beside))),
        1 => (0_u64..1_000).prop_map(|share| Step::Pass(Move::Share(0, share))),
    ];
    let steps = prop::collection::vec(greedy, 1..80);
    proptest!(cases(100, 5_000), |(numbers in numbers(algorithm), steps in steps)| {
        within_the_bound(algorithm, &[numbers], &steps)?;
    });
}

for_all_six!(holds_against_the_greedy);

fn within_the_bound(
    algorithm: Algorithm,
    numbers: &[Numbers],
    steps: &[Step],
) -> Result<(), TestCaseError> {
    // A reset is there to admit anew.
    let steps: Vec<Step> =
        steps.iter().copied().filter(|step| !matches!(step, Step::Reset)).collect();
    let admitted = admitted(algorithm, numbers, &play(algorithm, numbers, &steps));
    for quota in numbers {
        let worst = worst_window(&admitted, quota.period);
        prop_assert!(worst <= quota.bound(algorithm), "{worst} in a window of {quota:?}");
    }
    Ok(())
}

/// The traces that reach the bound, for as many quotas as there are.
fn is_reached(algorithm: Algorithm) {
    proptest!(cases(100, 2_000), |(numbers in numbers(algorithm))| {
        let Numbers { limit, period, .. } = numbers;
        // The counter cannot reach it when the limit's last unit returns only with the window.
        prop_assume!(algorithm != Algorithm::SlidingWindowCounter || 2 * u64::from(limit) <= period);
        let mut subject = Subject::new(algorithm, &[numbers]);
        let edge = (subject.now / period + 1) * period;
        let takes: Vec<(u64, u32)> = match algorithm {
            Algorithm::SlidingWindow => vec![(edge, limit)],
            // Late in a window, and as soon as the next one is as good as over.
            Algorithm::SlidingWindowCounter => {
                vec![(edge - 1, limit), (edge + period - 2, limit - 1)]
            }
            // One opens the window, the rest comes at its end, and the next window at once.
            Algorithm::FixedWindow => {
                vec![(edge, 1), (edge + period - 1, limit - 1), (edge + period, limit)]
            }
            // All, and then as much as comes back before the period is over. It is taken
            // before the bucket is full again, when some would be lost.
            _ => {
                let burst = numbers.capacity();
                let (flows, portion) = (u64::from(limit) - 1, (burst - 1).max(1));
                let portions = flows / portion;
                prop_assume!(portions <= 1_000);
                prop_assume!(burst > 1 || period.is_multiple_of(limit.into()));
                let after = |units: u64| {
                    let parts = u128::from(units) * u128::from(period);
                    edge + u64::try_from(parts.div_ceil(limit.into())).unwrap()
                };
                let mut takes = vec![(edge, burst)];
                takes.extend((1..=portions).map(|n| (after(n * portion), portion)));
                takes.push((after(flows), flows % portion));
                let units = takes.into_iter().map(|(at, units)| (at, u32::try_from(units).unwrap()));
                units.collect()
            }
        };
        let mut admitted = Vec::new();
        for (at, cost) in takes {
            subject.set(at);
            prop_assert!(subject.check(cost).is_allowed(), "{} at {}", cost, at);
            admitted.push((at, cost.into()));
        }
        prop_assert_eq!(worst_window(&admitted, period), numbers.bound(algorithm));
    });
}

for_all_six!(is_reached);
