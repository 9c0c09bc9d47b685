//! A refused request succeeds at the instant it was told, and not a microsecond before.

use proptest::prelude::*;
use tollgate::{Algorithm, Outcome};

use std::time::Duration;
use support::reference::{cases, for_all_six, quotas, said};
use support::subject::Subject;

const MICROSECOND: Duration = Duration::from_micros(1);

fn is_exact(algorithm: Algorithm) {
    // Gaps in thousandths of a period, costs in thousandths of what is there at most.
    let requests = prop::collection::vec((0_u64..200, 0_u64..=500, 0_u8..8), 1..60);
    proptest!(cases(200, 5_000), |(numbers in quotas(algorithm), requests in requests)| {
        let mut subject = Subject::new(algorithm, &numbers);
        let capacity = numbers.iter().map(|numbers| numbers.capacity()).min().unwrap();
        let mut last = None;
        for (gap, share, refund) in requests {
            subject.pass(numbers[0].period / 1_000 * gap);
            if refund == 0 && let Some(last) = last.take() {
                subject.refund(last);
            }
            let cost = u32::try_from(capacity * share / 1_000).unwrap().max(1);
            let decision = subject.check(cost);
            let Outcome::Refused { retry_after } = decision.outcome() else {
                prop_assert!(decision.is_allowed());
                last = Some(decision);
                continue;
            };
            prop_assert!(retry_after >= MICROSECOND);
            subject.pass(support::reference::micros(retry_after) - 1);
            let early = Outcome::Refused { retry_after: MICROSECOND };
            let before = subject.peek(cost);
            prop_assert_eq!(before.outcome(), early);
            prop_assert_eq!(said(&subject.check(cost)), said(&before), "a check is what a peek says");
            subject.pass(1);
            prop_assert!(subject.peek(cost).is_allowed());
            prop_assert!(subject.check(cost).is_allowed());
        }
    });
}

for_all_six!(is_exact);
