//! A refused request costs nothing, and a look changes nothing: whoever comes later is answered
//! as if neither had been.

use proptest::prelude::*;
use tollgate::{Algorithm, Outcome};

use support::reference::{Action, Answer, cases, for_all_six, play, quotas, steps};
use support::subject::Replay;

fn leaves_no_trace(algorithm: Algorithm) {
    proptest!(cases(200, 5_000), |(numbers in quotas(algorithm), steps in steps(60))| {
        let mut subject = Replay::new(algorithm, &numbers);
        // Its twin sees only what was admitted, given back and reset.
        let mut twin = Replay::new(algorithm, &numbers);
        for event in play(algorithm, &numbers, &steps) {
            let answer = subject.answer(&event);
            let admitted = matches!(&answer, Answer::Decision(it) if it.outcome == Outcome::Allowed);
            let charges = matches!(event.action, Action::Charge(_));
            let changes = matches!(event.action, Action::Refund(_) | Action::Reset);
            if changes || (charges && admitted) {
                prop_assert_eq!(twin.answer(&event), answer);
            } else {
                twin.skip();
            }
        }
    });
}

for_all_six!(leaves_no_trace);
