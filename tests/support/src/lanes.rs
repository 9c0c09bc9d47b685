//! Many traces beside each other, each of a subject and forms of its own, at the same times: so one
//! round trip carries a step of all of them.

use proptest::prelude::*;
use tollgate::backend::{Answer, Operation};
use tollgate::{Algorithm, Backend, BackendError, Check, Outcome, Policy};

use crate::forms::{Form, FormAnswer, FormStep, forms};
use crate::judged::{Judged, Model, judged};
use crate::reference::{Numbers, START, said_of};

/// A trace, without its times.
#[derive(Clone, Debug)]
pub struct Lane {
    pub forms: Vec<Form>,
    model: Option<Model>,
    steps: Vec<FormStep>,
}

/// Traces of so many steps, and the time that passes before each.
#[derive(Clone, Debug)]
pub struct Lanes {
    pub gaps: Vec<u64>,
    pub lanes: Vec<Lane>,
}

/// So many traces whose answers the guide says, and as many of any forms of the algorithm, the last
/// of them of any algorithm.
pub fn lanes(algorithm: Algorithm, count: usize, steps: usize) -> impl Strategy<Value = Lanes> {
    let gap = prop_oneof![
        4 => Just(0_u64),
        2 => 0_u64..=3,
        2 => 0_u64..=2_000_000,
        4 => (prop::sample::select(vec![10_000_u64, 1_000_000, 1_884_967, 3_600_000]), 0_u64..=1_100)
            .prop_map(|(period, share)| period * share / 1_000),
    ];
    let said = judged(algorithm, 2).prop_map(|Judged { model, forms, .. }| (Some(model), forms));
    let any = forms(Some(algorithm)).prop_map(|forms| (None, forms));
    let mixed = forms(None).prop_map(|forms| (None, forms));
    let lane = move |forms: BoxedStrategy<(Option<Model>, Vec<Form>)>| {
        let steps = prop::collection::vec(step(), steps);
        (forms, steps).prop_map(|((model, forms), steps)| Lane { forms, model, steps })
    };
    let of = |lane, count| prop::collection::vec(lane, count);
    let lanes = (
        of(lane(said.boxed()), count),
        of(lane(any.boxed()), count - count / 4),
        of(lane(mixed.boxed()), count / 4),
    );
    (prop::collection::vec(gap, steps), lanes).prop_map(|(gaps, (said, any, mixed))| {
        let mut lanes = [said, any, mixed].concat();
        for lane in &mut lanes {
            if matches!(lane.model, Some(Model::Buckets(_))) {
                // A bucket that takes over units does not know whose they are.
                let steps = lane.steps.iter_mut();
                let refunds = steps.filter(|step| matches!(step, FormStep::Refund(_)));
                refunds.for_each(|step| *step = FormStep::Charge(0, 1));
            }
        }
        Lanes { gaps, lanes }
    })
}

fn step() -> impl Strategy<Value = FormStep> {
    let form = || 0_usize..4;
    let cost = || prop_oneof![4 => Just(1_u32), 2 => 1_u32..=12, 1 => 0_u32..=200];
    prop_oneof![
        30 => (form(), cost()).prop_map(|(form, cost)| FormStep::Charge(form, cost)),
        6 => (form(), cost()).prop_map(|(form, cost)| FormStep::Peek(form, cost)),
        6 => (0_usize..6).prop_map(FormStep::Refund),
        1 => Just(FormStep::Reset),
    ]
}

/// A store that plays the lanes.
pub struct Player<'a> {
    subjects: &'a [String],
    policies: Vec<Vec<Policy>>,
    /// What each subject was admitted and has not given back: the form, when and how much.
    granted: Vec<Vec<(usize, u64, u32)>>,
}

impl<'a> Player<'a> {
    pub fn new(lanes: &Lanes, subjects: &'a [String]) -> Self {
        let policies = lanes.lanes.iter().map(|lane| {
            let policies = lane.forms.iter().map(|(by, numbers)| Numbers::policy(*by, numbers));
            policies.collect()
        });
        let granted = vec![Vec::new(); lanes.lanes.len()];
        Self { subjects, policies: policies.collect(), granted }
    }

    /// Takes a step of each lane, all in one call.
    pub async fn step(&mut self, backend: &impl Backend, steps: &[FormStep]) -> Vec<FormAnswer> {
        let Self { subjects, policies, granted } = self;
        let operations = steps.iter().enumerate().map(|(lane, step)| {
            let policies = &policies[lane];
            let check = |form: usize, cost| {
                Check::new(&policies[form % policies.len()], &subjects[lane], cost)
            };
            match *step {
                FormStep::Charge(form, cost) => Operation::charge(check(form, cost)),
                FormStep::Peek(form, cost) => Operation::peek(check(form, cost)),
                FormStep::Refund(back) => match to_refund(&granted[lane], back) {
                    Some((form, stamp, cost)) => Operation::refund(check(form, cost), stamp),
                    None => Operation::peek(check(0, 0)),
                },
                _ => Operation::reset(check(0, 0)),
            }
        });
        let operations: Vec<_> = operations.collect();
        let answers = backend.apply(&operations).await;
        let answers = answers.into_iter().enumerate();
        answers.map(|(lane, answer)| note(&mut granted[lane], steps[lane], answer)).collect()
    }
}

fn to_refund(granted: &[(usize, u64, u32)], back: usize) -> Option<(usize, u64, u32)> {
    granted.len().checked_sub(back + 1).map(|index| granted[index])
}

fn note(
    granted: &mut Vec<(usize, u64, u32)>,
    step: FormStep,
    answer: Result<Answer, BackendError>,
) -> FormAnswer {
    match (step, answer.unwrap()) {
        (FormStep::Refund(back), answer) => {
            let Some(index) = granted.len().checked_sub(back + 1) else {
                return FormAnswer::Nothing;
            };
            granted.remove(index);
            let Answer::Refunded(refunded) = answer else { panic!("{answer:?}") };
            FormAnswer::Refunded(refunded)
        }
        (FormStep::Charge(form, cost), Answer::Verdict(verdict)) => {
            if verdict.outcome() == Outcome::Allowed && cost > 0 {
                granted.push((form, verdict.stamp_micros(), cost));
            }
            FormAnswer::Said(said_of(verdict.outcome(), verdict.quotas()))
        }
        (_, Answer::Verdict(verdict)) => {
            FormAnswer::Said(said_of(verdict.outcome(), verdict.quotas()))
        }
        (FormStep::Reset, Answer::Reset) => {
            granted.clear();
            FormAnswer::Nothing
        }
        (step, answer) => panic!("{answer:?} to {step:?}"),
    }
}

/// What the guide says of each lane, if it says it to the microsecond.
pub struct Said {
    models: Vec<Option<Model>>,
    granted: Vec<Vec<(usize, u64, u32)>>,
}

impl Said {
    pub fn new(lanes: &Lanes) -> Self {
        let models = lanes.lanes.iter().map(|lane| lane.model.clone()).collect();
        Self { models, granted: vec![Vec::new(); lanes.lanes.len()] }
    }

    pub fn step(
        &mut self,
        lane: usize,
        forms: &[Form],
        now: u64,
        step: FormStep,
    ) -> Option<FormAnswer> {
        let (model, granted) = (self.models[lane].as_mut()?, &mut self.granted[lane]);
        let form = |form: usize| {
            let (by, numbers) = &forms[form % forms.len()];
            (*by, numbers.as_slice())
        };
        Some(match step {
            FormStep::Charge(by, cost) => {
                let said = model.charge(form(by), now, cost);
                if said.outcome == Outcome::Allowed && cost > 0 {
                    granted.push((by, now, cost));
                }
                FormAnswer::Said(said)
            }
            FormStep::Peek(by, cost) => FormAnswer::Said(model.peek(form(by), now, cost)),
            FormStep::Refund(back) => match to_refund(granted, back) {
                Some((by, stamp, cost)) => {
                    let index = granted.len() - back - 1;
                    granted.remove(index);
                    FormAnswer::Refunded(model.refund(form(by), now, stamp, cost))
                }
                None => FormAnswer::Nothing,
            },
            _ => {
                model.reset();
                granted.clear();
                FormAnswer::Nothing
            }
        })
    }
}

impl Lanes {
    /// The times of the steps, and the step of each lane.
    pub fn steps(&self) -> impl Iterator<Item = (u64, Vec<FormStep>)> {
        let mut now = START;
        let mut was_reset = false;
        self.gaps.iter().enumerate().map(move |(index, gap)| {
            // No charge from before a reset has the stamp of one that comes after.
            now += (*gap).max(u64::from(was_reset));
            let steps: Vec<_> = self.lanes.iter().map(|lane| lane.steps[index]).collect();
            was_reset = steps.iter().any(|step| matches!(step, FormStep::Reset));
            (now, steps)
        })
    }
}
