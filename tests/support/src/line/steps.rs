//! What happens to lines, at random.

use proptest::prelude::*;
use tollgate::Algorithm;

use crate::reference::{Numbers, has_bucket};

/// A policy, and what happens to one of its lines.
#[derive(Clone, Debug)]
pub struct Case {
    pub algorithm: Algorithm,
    pub numbers: Vec<Numbers>,
    pub steps: Vec<Step>,
}

/// Times are in microseconds. Unless said otherwise, all who are woken are polled after each step.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Somebody joins, with a cost and a patience.
    Wait(u32, u64),
    Check(u32),
    Pass(u64),
    /// Time passes, and before anybody in line notices, somebody checks.
    PassThenCheck(u64, u32),
    /// Time passes, and before anybody in line notices, somebody joins.
    PassThenWait(u64, u32, u64),
    /// Time passes, and before anybody in line notices, one of them is given up.
    PassThenDrop(u64, usize),
    /// One of those in line is given up.
    Drop(usize),
    /// Gives back what was admitted so many admissions ago.
    Refund(usize),
    Reset,
    /// Sets the limit of the first quota. A bucket is reset before.
    Limit(u32),
    Switch(bool),
    /// What the function of subjects says from now on: a limit, or that the policy is off.
    Plan(Option<u32>),
    PlanOff,
}

fn step(algorithm: Algorithm) -> impl Strategy<Value = Step> {
    let cost = || prop_oneof![6 => Just(1_u32), 4 => 1_u32..=4, 1 => 0_u32..=14];
    let patience = || {
        prop_oneof![
            1 => Just(0_u64),
            6 => 0_u64..=4_000_000,
            3 => 0_u64..=30_000_000,
            1 => Just(u64::MAX),
        ]
    };
    let pass = || {
        prop_oneof![
            2 => 0_u64..=3,
            4 => 0_u64..=300_000,
            4 => 0_u64..=1_500_000,
            2 => Just(1_000_000_u64),
            1 => 0_u64..=6_000_000,
        ]
    };
    // A bucket's state means nothing under another limit, and a plan takes effect at a look.
    let plan = move |limit| if has_bucket(algorithm) { None } else { limit };
    prop_oneof![
        16 => (cost(), patience()).prop_map(|(cost, patience)| Step::Wait(cost, patience)),
        5 => cost().prop_map(Step::Check),
        10 => pass().prop_map(Step::Pass),
        4 => (pass(), cost()).prop_map(|(span, cost)| Step::PassThenCheck(span, cost)),
        3 => (pass(), cost(), patience()).prop_map(|(a, b, c)| Step::PassThenWait(a, b, c)),
        3 => (pass(), 0_usize..8).prop_map(|(span, index)| Step::PassThenDrop(span, index)),
        3 => (0_usize..8).prop_map(Step::Drop),
        4 => (0_usize..6).prop_map(Step::Refund),
        1 => Just(Step::Reset),
        1 => (1_u32..=14).prop_map(Step::Limit),
        1 => prop::bool::weighted(0.7).prop_map(Step::Switch),
        1 => prop::option::weighted(0.6, 1_u32..=14).prop_map(move |limit| Step::Plan(plan(limit))),
        1 => Just(Step::PlanOff),
    ]
}

fn numbers(algorithm: Algorithm) -> impl Strategy<Value = Numbers> {
    let period = prop::sample::select(vec![1_000_000_u64, 700_001, 2_500_000]);
    (1_u32..=12, period, prop::option::of(1_u32..=20)).prop_map(move |(limit, period, burst)| {
        let numbers = Numbers::new(limit, period);
        let burst = burst.filter(|_| has_bucket(algorithm));
        burst.map_or(numbers, |burst| numbers.burst(burst))
    })
}

pub fn cases(algorithm: Algorithm, most: usize) -> impl Strategy<Value = Case> {
    let numbers = prop::collection::vec(numbers(algorithm), 1..=2);
    let steps = prop::collection::vec(step(algorithm), 1..=most);
    (numbers, steps).prop_map(move |(numbers, steps)| Case { algorithm, numbers, steps })
}
