//! Every answer is the definition's: outcome, wait, what remains, which quotas refused, when
//! there is more and when all is back, whether a refund gave anything back.

use proptest::prelude::*;
use tollgate::Algorithm;

use support::reference::{cases, for_all_six, play, quotas, steps};
use support::subject::Replay;

fn decides_as_the_definition(algorithm: Algorithm) {
    proptest!(cases(400, 20_000), |(numbers in quotas(algorithm), steps in steps(60))| {
        let mut replay = Replay::new(algorithm, &numbers);
        for event in play(algorithm, &numbers, &steps) {
            prop_assert_eq!(replay.answer(&event), event.answer, "{:?} at {}", event.action, event.at);
        }
    });
}

for_all_six!(decides_as_the_definition);
