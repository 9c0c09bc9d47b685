//! Every answer is the naive model's.

use support::calendar_traces::decides_as_the_model;
use support::reference::cases;

use crate::timed::Timed;

#[test]
fn decides_as_the_model_on_redis() {
    let timed = Timed::start();
    decides_as_the_model(cases(60, 3_000), || (&timed, timed.subject()));
}
