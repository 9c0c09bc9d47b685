//! What holds wherever a clock jumps, of a server's clock.

use tollgate::Algorithm;

use crate::timed::Timed;
use support::clock_jumps as jumps;
use support::reference::{START, cases, for_all_six, jump};

fn admit_at_most_the_bound_again(algorithm: Algorithm) {
    let timed = Timed::start();
    let (cases, near) = (cases(40, 1_000), jump(START..=2 * START));
    jumps::admit_at_most_the_bound_again(algorithm, cases, near, 50, |numbers| {
        timed.subject_of(algorithm, &[numbers])
    });
}

for_all_six!(admit_at_most_the_bound_again);

fn count_what_is_ahead(algorithm: Algorithm) {
    let timed = Timed::start();
    let subject = |numbers| timed.subject_of(algorithm, &[numbers]);
    jumps::count_what_is_ahead(algorithm, cases(40, 1_000), subject);
}

for_all_six!(count_what_is_ahead);

fn admit_all_on_a_stepping_clock(algorithm: Algorithm) {
    let timed = Timed::start();
    let subject = |numbers| timed.subject_of(algorithm, &[numbers]);
    jumps::admit_all_on_a_stepping_clock(algorithm, cases(40, 1_000), subject);
}

for_all_six!(admit_all_on_a_stepping_clock);

fn admit_all_on_certain_stepping_clocks(algorithm: Algorithm) {
    let timed = Timed::start();
    let subject = |numbers| timed.subject_of(algorithm, &[numbers]);
    jumps::admit_all_on_certain_stepping_clocks(algorithm, subject);
}

for_all_six!(admit_all_on_certain_stepping_clocks);
