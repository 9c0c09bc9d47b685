//! Wherever the server's clock jumps, nobody is locked out for longer than a whole quota would
//! lock them out, and what was admitted before a jump back counts on.

use proptest::prelude::*;
use tollgate::{Algorithm, Outcome};

use crate::reference::{
    DAY, Numbers, START, cases, for_all_six, jump, micros, numbers, worst_window,
};
use crate::subject::Timed;

fn admit_at_most_the_bound_again(algorithm: Algorithm) {
    let timed = Timed::start();
    let requests = prop::collection::vec((jump(START..=2 * START), 0_u64..=1_000), 1..50);
    proptest!(cases(40, 1_000), |(numbers in numbers(algorithm), requests in requests)| {
        let policy = Numbers::policy(algorithm, &[numbers]);
        let longest = numbers.longest_wait(algorithm);
        let subject = timed.subject();
        let mut now = START;
        let at = |now: u64| timed.clock.set_micros(now);
        // What was admitted since the clock last went back.
        let mut admitted = Vec::new();
        for (jump, share) in requests {
            let before = now;
            now = jump.from(before);
            at(now);
            if now < before {
                admitted.clear();
            }
            let cost = u32::try_from(numbers.capacity() * share / 1_000).unwrap().max(1);
            let decision = timed.check(&policy, &subject, cost);
            prop_assert!(micros(decision.quotas()[0].reset_after()) <= longest);
            match decision.outcome() {
                Outcome::Allowed => admitted.push((now, u64::from(cost))),
                Outcome::Refused { retry_after } => {
                    prop_assert!(micros(retry_after) <= longest);
                    now += micros(retry_after) - 1;
                    at(now);
                    prop_assert!(!timed.peek(&policy, &subject, cost).is_allowed(), "early");
                    now += 1;
                    at(now);
                    prop_assert!(timed.peek(&policy, &subject, cost).is_allowed(), "late");
                }
                Outcome::Never => prop_assert!(false, "it is no more than there may be"),
            }
            let worst = worst_window(&admitted, numbers.period);
            prop_assert!(worst <= numbers.bound(algorithm), "{} after a jump back", worst);
        }
        // Back to an instant that all of it may be ahead of, and on.
        at(START);
        let _ = timed.check(&policy, &subject, 1);
        at(START + longest);
        let capacity = u32::try_from(numbers.capacity()).unwrap();
        prop_assert!(timed.check(&policy, &subject, capacity).is_allowed());
    });
}

for_all_six!(admit_at_most_the_bound_again);

/// All of it is taken, and then the clock goes back: that counts as taken now.
fn count_what_is_ahead(algorithm: Algorithm) {
    let timed = Timed::start();
    proptest!(cases(40, 1_000), |(numbers in numbers(algorithm), back in 1..=20 * 366 * DAY)| {
        let policy = Numbers::policy(algorithm, &[numbers]);
        let subject = timed.subject();
        timed.clock.set_micros(START);
        let capacity = u32::try_from(numbers.capacity()).unwrap();
        prop_assert!(timed.check(&policy, &subject, capacity).is_allowed());
        timed.clock.set_micros(START - back);
        let refused = timed.check(&policy, &subject, 1);
        prop_assert_eq!(refused.remaining(), 0, "admitted again at once");
        let wait = micros(refused.retry_after().unwrap());
        prop_assert!(wait <= numbers.longest_wait(algorithm));
        timed.clock.set_micros(START - back + wait - 1);
        prop_assert!(!timed.check(&policy, &subject, 1).is_allowed(), "early");
        timed.clock.set_micros(START - back + wait);
        prop_assert!(timed.check(&policy, &subject, 1).is_allowed(), "late");
    });
}

for_all_six!(count_what_is_ahead);
