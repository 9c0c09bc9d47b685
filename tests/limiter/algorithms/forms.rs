//! A policy changes its form while it is in use: what was admitted is remembered, and never more
//! than the bound is admitted.

use proptest::prelude::*;
use tollgate::Algorithm;

use support::forms::{self, FormStep, Forms, form_steps, forms};
use support::judged::judged;
use support::reference::{Numbers, cases, for_all_six};
use support::subject::Memory;

fn never_more_than_the_bound(algorithm: Algorithm) {
    proptest!(cases(400, 20_000), |(
        forms in forms(Some(algorithm)),
        steps in form_steps(80),
        then in (0_usize..4, 1_u32..=12),
    )| {
        let mut memory = Forms::new(Memory::new(), "s".to_owned(), &forms);
        for step in steps {
            memory.step(step);
        }
        prop_assert_eq!(memory.assert_bounds(&forms), Ok(()));
        prop_assert_eq!(memory.assert_wait_stands(then.0, then.1), Ok(()));
    });
}

for_all_six!(never_more_than_the_bound);

#[test]
fn never_more_than_the_bound_of_each_algorithm() {
    proptest!(cases(800, 40_000), |(
        forms in forms(None),
        steps in form_steps(80),
        then in (0_usize..4, 1_u32..=12),
    )| {
        let mut memory = Forms::new(Memory::new(), "s".to_owned(), &forms);
        for step in steps {
            memory.step(step);
        }
        prop_assert_eq!(memory.assert_bounds(&forms), Ok(()));
        prop_assert_eq!(memory.assert_wait_stands(then.0, then.1), Ok(()));
    });
}

fn answers_are_those_of_the_model(algorithm: Algorithm) {
    proptest!(cases(150, 20_000), |(judged in judged(algorithm, 60))| {
        prop_assert_eq!(judged.compare(Memory::new(), "s".to_owned()), Ok(()));
    });
}

for_all_six!(answers_are_those_of_the_model);

/// A limit that goes down and up again, with a look in between, many times within one window.
#[test]
fn a_look_under_a_smaller_limit_forgets_nothing() {
    for &algorithm in Algorithm::ALL {
        let forms = [100, 10].map(|limit| (algorithm, vec![Numbers::new(limit, 60_000_000)]));
        for looks in [FormStep::Peek(1, 1), FormStep::Charge(1, 1)] {
            let mut memory = Forms::new(Memory::new(), "s".to_owned(), &forms);
            for _ in 0..20 {
                (0..101).for_each(|_| drop(memory.step(FormStep::Charge(0, 1))));
                memory.step(looks);
            }
            assert_eq!(memory.admitted.len(), 100, "{algorithm:?}");
        }
    }
}

#[test]
fn a_charge_that_has_left_is_not_refunded() {
    forms::a_charge_that_has_left_is_not_refunded(|| (Memory::new(), "s".to_owned()));
}

/// A part of another form is empty before a wait is over that was told by it.
#[test]
fn a_wait_is_told_by_the_same_part_until_it_is_over() {
    forms::a_wait_is_told_by_the_same_part_until_it_is_over(Memory::new(), "s".to_owned());
}

/// Requests that are under way while limit and algorithm change give back what they took, and no
/// more.
#[test]
fn a_refund_after_a_change_forgets_nothing() {
    for &before in Algorithm::ALL {
        for &after in Algorithm::ALL {
            let forms = [(before, 10), (after, 100)];
            let forms = forms.map(|(by, limit)| (by, vec![Numbers::new(limit, 60_000_000)]));
            let mut memory = Forms::new(Memory::new(), "s".to_owned(), &forms);
            (0..5).for_each(|_| drop(memory.step(FormStep::Charge(0, 1))));
            (0..95).for_each(|_| drop(memory.step(FormStep::Charge(1, 1))));
            let mut again = 0;
            for _ in 0..5 {
                // The first of those that are left is the oldest.
                memory.step(FormStep::Refund(99 - again));
                let admitted = memory.admitted.len();
                (0..95).for_each(|_| drop(memory.step(FormStep::Charge(1, 1))));
                again += memory.admitted.len() - admitted;
            }
            assert!(again <= 5, "{before:?} to {after:?}: {again}");
        }
    }
}

fn a_refund_gives_back_no_other_charge(algorithm: Algorithm) {
    forms::a_refund_gives_back_no_other_charge(algorithm, || (Memory::new(), "s".to_owned()));
}

for_all_six!(a_refund_gives_back_no_other_charge);
