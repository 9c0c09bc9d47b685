//! Above a limit of 1024 the sliding window may be late, by less than a granule, and never early.

use proptest::prelude::*;
use tollgate::{Algorithm, Outcome};

use support::reference::{Action, Answer, Step, cases, micros, numbers, play, steps};
use support::subject::Replay;

#[test]
fn a_unit_comes_back_less_than_a_granule_late() {
    let algorithm = Algorithm::SlidingWindow;
    let large = numbers(algorithm).prop_filter("with granules", |numbers| numbers.limit > 1_024);
    proptest!(cases(200, 5_000), |(numbers in large, steps in steps(60))| {
        let granule = numbers.period.div_ceil(1_024);
        let mut replay = Replay::new(algorithm, &[numbers]);
        // What an exact log would hold of the same admissions. What is given back leaves the
        // log at once, and its granule perhaps as it was; so nothing is given back here.
        let mut log: Vec<(u64, u64)> = Vec::new();
        let steps: Vec<Step> =
            steps.into_iter().filter(|step| !matches!(step, Step::Refund(_))).collect();
        for event in play(algorithm, &[numbers], &steps) {
            let answer = replay.answer(&event);
            let (cost, decision) = match (event.action, answer) {
                (Action::Charge(cost), Answer::Decision(decision)) => (cost, decision),
                (Action::Reset, _) => {
                    log.clear();
                    continue;
                }
                _ => continue,
            };
            let admits = |instant: u64| {
                let counting = log.iter().filter(|(at, _)| at + numbers.period > instant);
                counting.map(|(_, units)| units).sum::<u64>() + u64::from(cost) <= numbers.limit.into()
            };
            match decision.outcome {
                Outcome::Allowed => {
                    prop_assert!(admits(event.at), "early");
                    log.push((event.at, cost.into()));
                }
                Outcome::Refused { retry_after } => {
                    let retry_at = event.at + micros(retry_after);
                    prop_assert!(admits(retry_at), "early");
                    let earlier = retry_at.saturating_sub(granule);
                    prop_assert!(earlier < event.at || !admits(earlier), "late by a granule");
                }
                Outcome::Never => {}
                other => unreachable!("{other:?}"),
            }
        }
    });
}
