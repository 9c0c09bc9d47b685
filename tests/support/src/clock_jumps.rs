//! Wherever the clock of a store jumps, nobody is locked out for longer than a whole quota would
//! lock them out, and what was admitted before a jump back counts on: at most the bound is admitted
//! again. Buckets do not drain while the clock is behind their last charge by a tenth of a second
//! or less, so a wait for them may be longer by that.

use proptest::prelude::*;
use tollgate::{Algorithm, Outcome};

use crate::reference::{DAY, Jump, Numbers, START, has_bucket, micros, numbers, worst_window};
use crate::subject::{Store, Subject};

/// The longest step back during which the last charge of a bucket takes the place of the present
/// time, in microseconds.
const MAX_STEP_BACK: u64 = 100_000;

/// The longest time for which anybody may be told to wait.
fn longest_wait(numbers: Numbers, algorithm: Algorithm) -> u64 {
    let step = if has_bucket(algorithm) { MAX_STEP_BACK } else { 0 };
    numbers.longest_wait(algorithm) + step
}

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
        let longest = longest_wait(numbers, algorithm);
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
        prop_assert!(wait <= longest_wait(numbers, algorithm));
        subject.pass(wait - 1);
        prop_assert!(!subject.check(1).is_allowed(), "early");
        subject.pass(1);
        prop_assert!(subject.check(1).is_allowed(), "late");
    });
}

/// A clock of which every second reading is behind: nobody is refused early. A bucket does not
/// drain by steps of a tenth of a second or less, however many there are.
pub fn admit_all_on_a_stepping_clock<S: Store>(
    algorithm: Algorithm,
    cases: ProptestConfig,
    subject: impl Fn(Numbers) -> Subject<S>,
) {
    let step = prop_oneof![0_u64..=2_000, 0..=2 * MAX_STEP_BACK, 0..=2 * DAY];
    proptest!(cases, |(numbers in numbers(algorithm), back in step)| {
        all_are_admitted(algorithm, numbers, back, subject(numbers));
    });
}

/// The same with steps of certain lengths.
pub fn admit_all_on_certain_stepping_clocks<S: Store>(
    algorithm: Algorithm,
    subject: impl Fn(Numbers) -> Subject<S>,
) {
    let slow = Numbers::new(10, 60_000_000);
    let fast = Numbers::new(1_000, 1_000_000);
    for (numbers, back) in [slow, fast].into_iter().flat_map(|numbers| {
        [1_000, MAX_STEP_BACK, MAX_STEP_BACK + 1, 5_000_000, 70_000_000].map(|back| (numbers, back))
    }) {
        all_are_admitted(algorithm, numbers, back, subject(numbers));
    }
}

fn all_are_admitted<S: Store>(
    algorithm: Algorithm,
    numbers: Numbers,
    back: u64,
    mut subject: Subject<S>,
) {
    let capacity = u32::try_from(numbers.capacity()).unwrap();
    let one = capacity.div_ceil(10);
    let mut left = capacity;
    let mut is_behind = false;
    while left > 0 {
        let cost = one.min(left);
        subject.set(if is_behind { START - back } else { START });
        assert!(subject.check(cost).is_allowed(), "{left} of {capacity} are left: {numbers:?}");
        left -= cost;
        is_behind = !is_behind;
    }
    if has_bucket(algorithm) && back <= MAX_STEP_BACK {
        for now in [START - back, START].repeat(10) {
            subject.set(now);
            assert!(!subject.check(1).is_allowed(), "a step of {back} drains {numbers:?}");
        }
    }
}
