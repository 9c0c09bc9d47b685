//! What holds wherever a clock jumps, of the memory store, as far as time goes.

use proptest::prelude::*;
use tollgate::Algorithm;

use support::clock_jumps as jumps;
use support::reference::{cases, for_all_six, jump};
use support::subject::Subject;

fn admit_at_most_the_bound_again(algorithm: Algorithm) {
    let (cases, anywhere) = (cases(200, 5_000), jump(any::<u64>()));
    jumps::admit_at_most_the_bound_again(algorithm, cases, anywhere, 80, |numbers| {
        Subject::new(algorithm, &[numbers])
    });
}

for_all_six!(admit_at_most_the_bound_again);

fn count_what_is_ahead(algorithm: Algorithm) {
    let subject = |numbers| Subject::new(algorithm, &[numbers]);
    jumps::count_what_is_ahead(algorithm, cases(200, 5_000), subject);
}

for_all_six!(count_what_is_ahead);

fn admit_all_on_a_stepping_clock(algorithm: Algorithm) {
    let subject = |numbers| Subject::new(algorithm, &[numbers]);
    jumps::admit_all_on_a_stepping_clock(algorithm, cases(200, 5_000), subject);
}

for_all_six!(admit_all_on_a_stepping_clock);

fn admit_all_on_certain_stepping_clocks(algorithm: Algorithm) {
    let subject = |numbers| Subject::new(algorithm, &[numbers]);
    jumps::admit_all_on_certain_stepping_clocks(algorithm, subject);
}

for_all_six!(admit_all_on_certain_stepping_clocks);
