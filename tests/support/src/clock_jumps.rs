//! Wherever the clock of a store jumps, nobody is locked out for longer than a whole quota would
//! lock them out, and what was admitted before a jump back counts on: at most the bound is admitted
//! again.

use proptest::prelude::*;
use tollgate::{Algorithm, Outcome};

use crate::reference::{DAY, Jump, Numbers, START, micros, numbers, worst_window};
use crate::subject::{Store, Subject};

/// Up to `most` requests, each after one of these `jumps`.
pub fn admit_at_most_the_bound_again<S: Store>(
    algorithm: Algorithm,
    cases: ProptestConfig,
    jumps: impl Strategy<Value = Jump>,
    most: usize,
    subject: impl Fn(Numbers) -> Subject<S>,
) {
    let requests = prop::collection::vec((jumps, 0_u64..=1_000), 1..most);
    proptest!(cases, |(numbers in numbers(algorithm), requests in requests)| {
        let longest = numbers.longest_wait(algorithm);
        let mut subject = subject(numbers);
        // What was admitted since the clock last went back.
        let mut admitted = Vec::new();
        for (jump, share) in requests {
            let before = subject.now;
            subject.set(jump.from(before));
            if subject.now < before {
                admitted.clear();
            }
            let cost = u32::try_from(numbers.capacity() * share / 1_000).unwrap().max(1);
            let decision = subject.check(cost);
            prop_assert!(micros(decision.quotas()[0].reset_after()) <= longest);
            // Time ends with the year 294,000; what comes back after it is not waited for.
            if subject.now > i64::MAX as u64 - 4_000 * DAY {
                continue;
            }
            match decision.outcome() {
                Outcome::Allowed => admitted.push((subject.now, cost.into())),
                Outcome::Refused { retry_after } => {
                    prop_assert!(micros(retry_after) <= longest);
                    subject.pass(micros(retry_after) - 1);
                    prop_assert!(!subject.peek(cost).is_allowed(), "early");
                    subject.pass(1);
                    prop_assert!(subject.peek(cost).is_allowed(), "late");
                }
                other => prop_assert!(false, "{other:?}, though it is no more than there may be"),
            }
            let worst = worst_window(&admitted, numbers.period);
            prop_assert!(worst <= numbers.bound(algorithm), "{} after a jump back", worst);
        }
        // Back to an instant that all of it may be ahead of, and on.
        subject.set(START);
        let _ = subject.check(1);
        subject.pass(longest);
        let capacity = u32::try_from(numbers.capacity()).unwrap();
        prop_assert!(subject.check(capacity).is_allowed());
    });
}

/// All of it is taken, and then the clock goes back: that counts as taken now.
pub fn count_what_is_ahead<S: Store>(
    algorithm: Algorithm,
    cases: ProptestConfig,
    subject: impl Fn(Numbers) -> Subject<S>,
) {
    proptest!(cases, |(numbers in numbers(algorithm), back in 1..=20 * 366 * DAY)| {
        let mut subject = subject(numbers);
        let capacity = u32::try_from(numbers.capacity()).unwrap();
        prop_assert!(subject.check(capacity).is_allowed());
        subject.set(START - back);
        let refused = subject.check(1);
        prop_assert_eq!(refused.remaining(), 0, "admitted again at once");
        let wait = micros(refused.retry_after().unwrap());
        prop_assert!(wait <= numbers.longest_wait(algorithm));
        subject.pass(wait - 1);
        prop_assert!(!subject.check(1).is_allowed(), "early");
        subject.pass(1);
        prop_assert!(subject.check(1).is_allowed(), "late");
    });
}

/// A clock of which every second reading is a little behind: nobody is refused early, and the wait
/// that is told is that until the quota has room.
pub fn admit_all_on_a_stepping_clock<S: Store>(
    algorithm: Algorithm,
    cases: ProptestConfig,
    subject: impl Fn(Numbers) -> Subject<S>,
) {
    proptest!(cases, |(numbers in numbers(algorithm), share in 0_u64..=1_000)| {
        let mut subject = subject(numbers);
        let capacity = u32::try_from(numbers.capacity()).unwrap();
        let one = capacity.div_ceil(10);
        let rest = (capacity - 1) % one + 1;
        // A step that a nearly full bucket does not take for a clock that was set back for good.
        let most = u128::from(numbers.period) * u128::from(rest) / u128::from(numbers.limit);
        let back = u64::try_from(most).unwrap() * share / 1_000;
        let mut left = capacity;
        while left > 0 {
            let cost = one.min(left);
            subject.set(if left % 2 == 0 { START } else { START - back });
            prop_assert!(subject.check(cost).is_allowed(), "{left} of {capacity} are left");
            left -= cost;
        }
    });
}
