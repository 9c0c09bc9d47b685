//! A policy changes its form while it is in use: what was admitted is remembered, and never more
//! than the bound is admitted.

use proptest::prelude::*;
use tollgate::Algorithm;

use support::forms::{self, Form, FormAnswer, FormStep, Forms, form_steps, forms};
use support::reference::{Expected, Numbers, cases, for_all_six};
use support::subject::Memory;
use tollgate::Outcome;

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

/// The list of admissions, judged by a form.
struct Listed {
    admissions: Vec<(u64, u32)>,
}

impl Listed {
    fn admits(&self, now: u64, numbers: &[Numbers], cost: u32) -> bool {
        numbers.iter().all(|quota| {
            let used = self.admissions.iter().filter(|(at, _)| at + quota.period > now);
            used.map(|(_, units)| units).sum::<u32>() + cost <= quota.limit
        })
    }
}

/// Limits up to 1,024, in any order and number, of which the longest period is always the same.
fn exact_forms() -> impl Strategy<Value = Vec<Form>> {
    let shorter = (1_u32..=20, 1_000_u64..=3_000_000);
    let shorter = shorter.prop_map(|(limit, period)| Numbers::new(limit, period));
    let form = (prop::collection::vec(shorter, 0..=3), 0_usize..4, 1_u32..=60);
    let form = form.prop_map(|(mut numbers, place, limit)| {
        numbers.insert(place.min(numbers.len()), Numbers::new(limit, 3_600_000));
        (Algorithm::SlidingWindow, numbers)
    });
    prop::collection::vec(form, 2..=4)
}

/// Compares with the list of all admissions, to the microsecond.
#[test]
fn the_sliding_window_judges_the_list_of_admissions() {
    proptest!(cases(400, 20_000), |(forms in exact_forms(), steps in form_steps(80))| {
        let mut memory = Forms::new(Memory::new(), "s".to_owned(), &forms);
        for step in steps {
            let admitted = memory.admitted.iter().filter(|each| each.units > 0);
            let admissions = admitted.map(|each| (each.at, u32::try_from(each.units).unwrap()));
            let listed = Listed { admissions: admissions.collect() };
            let answer = memory.step(step);
            let (FormStep::Charge(form, cost) | FormStep::Peek(form, cost)) = step else {
                continue;
            };
            let FormAnswer::Said(Expected { outcome, quotas, .. }) = answer else { unreachable!() };
            let numbers = &forms[form % forms.len()].1;
            let now = memory.now;
            let admits = |at: u64, cost| listed.admits(at, numbers, cost);
            match outcome {
                Outcome::Allowed => prop_assert!(cost == 0 || admits(now, cost)),
                Outcome::Refused { retry_after } => {
                    let again = now + u64::try_from(retry_after.as_micros()).unwrap();
                    prop_assert!(!admits(again - 1, cost) && admits(again, cost));
                }
                Outcome::Never => prop_assert!(numbers.iter().any(|quota| cost > quota.limit)),
                other => prop_assert!(false, "{:?}", other),
            }
            if !matches!((step, outcome), (FormStep::Charge(..), Outcome::Allowed)) {
                for (quota, state) in numbers.iter().zip(quotas) {
                    let one = std::slice::from_ref(quota);
                    let remaining = state.remaining();
                    prop_assert!(remaining == 0 || listed.admits(now, one, remaining));
                    prop_assert!(!listed.admits(now, one, remaining + 1));
                }
            }
        }
    });
}

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
