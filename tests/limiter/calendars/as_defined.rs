//! Every answer is the naive model's.

use support::calendar_traces::decides_as_the_model;
use support::reference::cases;
use support::subject::Memory;

#[test]
fn decides_as_the_model_in_memory() {
    decides_as_the_model(cases(100, 5_000), || (Memory::small(), "s".to_owned()));
}
