//! The same traces get the same answers from Redis, from memory and from the definitions.

use proptest::prelude::*;
use tollgate::Algorithm;

use crate::timed::Timed;
use support::reference::{cases, for_all_six, play, quotas, steps};
use support::subject::Replay;

fn decides_as_memory_and_the_definition(algorithm: Algorithm) {
    let timed = Timed::start();
    proptest!(cases(60, 2_000), |(numbers in quotas(algorithm), steps in steps(60))| {
        let mut on_redis = Replay::of(timed.subject_of(algorithm, &numbers));
        let mut in_memory = Replay::new(algorithm, &numbers);
        for event in play(algorithm, &numbers, &steps) {
            let answer = on_redis.answer(&event);
            prop_assert_eq!(&answer, &event.answer, "{:?} at {}", event.action, event.at);
            let in_memory = in_memory.answer(&event);
            prop_assert_eq!(&answer, &in_memory, "{:?} at {}", event.action, event.at);
        }
    });
}

for_all_six!(decides_as_memory_and_the_definition);
