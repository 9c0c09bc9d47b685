//! A policy changes its form while it is in use: Redis answers as memory does, and admits as
//! little.

use proptest::prelude::*;
use tollgate::Algorithm;

use crate::timed::Timed;
use support::forms::{Form, FormStep, Forms, form_steps, forms};
use support::reference::{cases, for_all_six};
use support::subject::Memory;

fn same(timed: &Timed, forms: &[Form], steps: &[FormStep]) -> Result<(), TestCaseError> {
    let mut on_redis = Forms::new(timed, timed.subject(), forms);
    let mut in_memory = Forms::new(Memory::new(), "s".to_owned(), forms);
    for (index, step) in steps.iter().enumerate() {
        let (answer, in_memory) = (on_redis.step(*step), in_memory.step(*step));
        prop_assert_eq!(answer, in_memory, "redis, memory at step {}: {:?}", index, step);
    }
    prop_assert_eq!(on_redis.assert_bounds(forms), Ok(()));
    Ok(())
}

fn changes_of_quotas_are_as_in_memory(algorithm: Algorithm) {
    let timed = Timed::start();
    proptest!(cases(60, 4_000), |(forms in forms(Some(algorithm)), steps in form_steps(60))| {
        same(&timed, &forms, &steps)?;
    });
}

for_all_six!(changes_of_quotas_are_as_in_memory);

#[test]
fn changes_of_the_algorithm_are_as_in_memory() {
    let timed = Timed::start();
    proptest!(cases(200, 8_000), |(forms in forms(None), steps in form_steps(60))| {
        same(&timed, &forms, &steps)?;
    });
}
