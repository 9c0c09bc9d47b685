//! A policy changes its form while it is in use: Redis answers as memory does, and admits as
//! little.

use proptest::prelude::*;
use tollgate::{Algorithm, MemoryBackend, RedisBackend};

use crate::timed::{PATIENCE, Timed};
use support::forms::{self, Form, FormStep, Forms, form_steps, forms};
use support::lanes::{Player, Said, lanes};
use support::reference::{Numbers, cases, for_all_six};
use support::subject::Memory;

fn same(timed: &Timed, forms: &[Form], steps: &[FormStep]) -> Result<(), TestCaseError> {
    let mut on_redis = Forms::new(timed, timed.subject(), forms);
    let mut in_memory = Forms::new(Memory::new(), "s".to_owned(), forms);
    for (index, step) in steps.iter().enumerate() {
        let (answer, in_memory) = (on_redis.step(*step), in_memory.step(*step));
        prop_assert_eq!(answer, in_memory, "redis, memory at step {}: {:?}", index, step);
    }
    prop_assert_eq!(on_redis.assert_bounds(forms), Ok(()));
    prop_assert_eq!(on_redis.assert_wait_stands(steps.len(), 1), Ok(()));
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

/// Memory and Redis give the same answers to the same traces, and where the guide says the answers,
/// those.
fn answers_are_those_of_memory_and_of_the_model(algorithm: Algorithm) {
    let timed = Timed::start();
    let on_redis = RedisBackend::builder(&timed.server.url()).virtual_time(timed.clock.clone());
    let on_redis = on_redis.deadline(PATIENCE).build().unwrap();
    // A failure tells the trace itself, which is one of many.
    let config = ProptestConfig { max_shrink_iters: 0, ..cases(1, 200) };
    proptest!(config, |(lanes in lanes(algorithm, 50, 60))| {
        let in_memory = MemoryBackend::builder().clock(timed.clock.clone()).build();
        let subjects: Vec<_> = lanes.lanes.iter().map(|_| timed.subject()).collect();
        let mut said = Said::new(&lanes);
        let mut players = [0, 1].map(|_| Player::new(&lanes, &subjects));
        for (now, steps) in lanes.steps() {
            timed.clock.set_micros(now);
            let [redis, memory] = &mut players;
            let redis = timed.runtime.block_on(redis.step(&on_redis, &steps));
            let memory = timed.runtime.block_on(memory.step(&in_memory, &steps));
            for (index, lane) in lanes.lanes.iter().enumerate() {
                let trace = || format!("{:?} at {now} in {lane:?}", steps[index]);
                prop_assert_eq!(&redis[index], &memory[index], "{}", trace());
                if let Some(said) = said.step(index, &lane.forms, now, steps[index]) {
                    prop_assert_eq!(&redis[index], &said, "{}", trace());
                }
            }
        }
    });
}

for_all_six!(answers_are_those_of_memory_and_of_the_model);

fn a_refund_gives_back_no_other_charge(algorithm: Algorithm) {
    let timed = Timed::start();
    forms::a_refund_gives_back_no_other_charge(algorithm, || (&timed, timed.subject()));
}

for_all_six!(a_refund_gives_back_no_other_charge);

#[test]
fn a_charge_that_has_left_is_not_refunded() {
    let timed = Timed::start();
    forms::a_charge_that_has_left_is_not_refunded(|| (&timed, timed.subject()));
}

#[test]
fn a_wait_is_told_by_the_same_part_until_it_is_over() {
    let timed = Timed::start();
    let subject = timed.subject();
    forms::a_wait_is_told_by_the_same_part_until_it_is_over(&timed, subject);
}

/// Two quotas of one period are each other's form, in any order, with limits that share entries and
/// limits that do not.
#[test]
fn two_quotas_of_one_period_are_as_in_memory() {
    let timed = Timed::start();
    for &algorithm in Algorithm::ALL {
        for pair in [[2, 1_025], [1_025, 2], [2, 3], [3, 2], [1_030, 1_025]] {
            let second = |limits: [u32; 2]| limits.map(|limit| Numbers::new(limit, 1_000_000));
            let forms = [
                (algorithm, vec![Numbers::new(1, 10_000)]),
                (algorithm, second(pair).to_vec()),
                (algorithm, second([1, 2]).to_vec()),
                (algorithm, second([1_025, 4]).to_vec()),
            ];
            let charge = |form| [FormStep::Charge(form, 1), FormStep::Pass(1)];
            let steps = [0, 1, 2, 3, 1, 0, 3, 2, 1].map(charge).concat();
            same(&timed, &forms, &steps).unwrap();
            let refunds = [FormStep::Refund(1), FormStep::Charge(3, 1), FormStep::Refund(0)];
            same(&timed, &forms, &[steps, refunds.to_vec()].concat()).unwrap();
        }
    }
}
