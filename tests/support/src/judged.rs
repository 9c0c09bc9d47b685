//! Stores whose policy changes its form, beside a model of all that was admitted: the same answers,
//! to the microsecond.

use proptest::prelude::*;
use tollgate::Algorithm;

use crate::forms::{Form, FormAnswer, FormStep, Forms, form_steps, forms};
use crate::reference::{ChangedBuckets, Expected, Listed, Numbers, has_bucket};
use crate::subject::Store;

/// The model by which a trace is judged.
#[derive(Clone, Debug)]
pub enum Model {
    /// The list of all admissions, judged by the form in force.
    Listed(Listed),
    /// Buckets of which a new one takes over what another one held.
    Buckets(ChangedBuckets),
}

/// Forms, and what happens under them.
#[derive(Clone, Debug)]
pub struct Judged {
    pub model: Model,
    pub forms: Vec<Form>,
    pub steps: Vec<FormStep>,
}

/// Traces whose answers the guide says to the microsecond.
pub fn judged(algorithm: Algorithm, most: usize) -> BoxedStrategy<Judged> {
    match algorithm {
        Algorithm::SlidingWindow => listed(of_one_longest_period().boxed(), most),
        Algorithm::SlidingWindowCounter | Algorithm::FixedWindow => {
            listed(of_the_same_periods(algorithm).boxed(), most)
        }
        _ => prop_oneof![
            2 => listed(in_another_order().boxed(), most),
            3 => (forms(Some(algorithm)), form_steps(most)).prop_map(|(forms, mut steps)| {
                // A bucket that takes over units does not know whose they are.
                steps.retain(|step| !matches!(step, FormStep::Refund(_)));
                Judged { model: Model::Buckets(ChangedBuckets::default()), forms, steps }
            }),
        ]
        .boxed(),
    }
}

fn listed(forms: BoxedStrategy<Vec<Form>>, most: usize) -> BoxedStrategy<Judged> {
    let model = Model::Listed(Listed::default());
    let judged = move |(forms, steps)| Judged { model: model.clone(), forms, steps };
    (forms, form_steps(most)).prop_map(judged).boxed()
}

/// Limits up to 1,024, in any order and number, of which the longest period is always the same.
fn of_one_longest_period() -> impl Strategy<Value = Vec<Form>> {
    let shorter = (1_u32..=20, 1_000_u64..=3_000_000);
    let shorter = shorter.prop_map(|(limit, period)| Numbers::new(limit, period));
    let form = (prop::collection::vec(shorter, 0..=3), 0_usize..4, 1_u32..=60);
    let form = form.prop_map(|(mut numbers, place, limit)| {
        numbers.insert(place.min(numbers.len()), Numbers::new(limit, 3_600_000));
        (Algorithm::SlidingWindow, numbers)
    });
    prop::collection::vec(form, 2..=4)
}

/// Any limits for the same periods, in any order; some periods twice.
fn of_the_same_periods(algorithm: Algorithm) -> impl Strategy<Value = Vec<Form>> {
    let period = prop_oneof![
        3 => prop::sample::select(vec![10_000_u64, 1_000_000, 1_884_967]),
        1 => 2_000_u64..=4_000_000,
    ];
    prop::collection::vec(period, 1..=3).prop_flat_map(move |periods| {
        let limit = || prop_oneof![8 => 1_u32..=30, 1 => 1_000_u32..=1_100];
        let twice = prop::option::of(0..periods.len());
        let form = (Just(periods).prop_shuffle(), [limit(), limit(), limit(), limit()], twice);
        let form = form.prop_map(move |(mut periods, limits, twice)| {
            periods.extend(twice.map(|index| periods[index]));
            let numbers = periods.into_iter().zip(limits).map(|(period, limit)| {
                Numbers::new(limit.min(u32::try_from(period).unwrap()), period)
            });
            (algorithm, numbers.collect())
        });
        prop::collection::vec(form, 2..=4)
    })
}

/// The same buckets in any order, by any of the three names.
fn in_another_order() -> impl Strategy<Value = Vec<Form>> {
    let period = prop_oneof![Just(10_000_u64), Just(1_000_000), 2_000_u64..=4_000_000];
    let bucket = (1_u32..=30, period, 1_u32..=30);
    let bucket = bucket.prop_map(|(limit, period, burst)| Numbers::new(limit, period).burst(burst));
    let by = Algorithm::ALL.iter().copied().filter(|by| has_bucket(*by)).collect::<Vec<_>>();
    prop::collection::vec(bucket, 1..=3).prop_flat_map(move |buckets| {
        let form = (prop::sample::select(by.clone()), Just(buckets).prop_shuffle());
        prop::collection::vec(form, 2..=4)
    })
}

impl Judged {
    /// Compares the store's answers with the model's. Returns what differs.
    pub fn compare<S: Store>(mut self, store: S, subject: String) -> Result<(), String> {
        let mut subject = Forms::new(store, subject, &self.forms);
        for (index, step) in self.steps.iter().enumerate() {
            let form = |form: usize| {
                let (algorithm, numbers) = &self.forms[form % self.forms.len()];
                (*algorithm, numbers.as_slice())
            };
            let now = subject.now;
            let expected = match *step {
                FormStep::Charge(by, cost) => {
                    FormAnswer::Said(self.model.charge(form(by), now, cost))
                }
                FormStep::Peek(by, cost) => FormAnswer::Said(self.model.peek(form(by), now, cost)),
                FormStep::Refund(back) => match subject.to_refund(back) {
                    Some(charge) => {
                        let units = u32::try_from(charge.units).unwrap();
                        let refund = self.model.refund(form(charge.form), now, charge.at, units);
                        FormAnswer::Refunded(refund)
                    }
                    None => FormAnswer::Nothing,
                },
                FormStep::Reset => {
                    self.model.reset();
                    FormAnswer::Nothing
                }
                FormStep::Pass(_) | FormStep::Share(..) => FormAnswer::Nothing,
            };
            let answer = subject.step(*step);
            if answer != expected {
                return Err(format!("step {index}, {step:?}: {answer:?}, but {expected:?}"));
            }
        }
        Ok(())
    }
}

/// A form in parts.
pub type NamedForm<'a> = (Algorithm, &'a [Numbers]);

impl Model {
    pub fn charge(&mut self, form: NamedForm<'_>, now: u64, cost: u32) -> Expected {
        match self {
            Self::Listed(listed) => listed.charge(form, now, cost),
            Self::Buckets(buckets) => buckets.charge(form, now, cost),
        }
    }

    pub fn peek(&self, form: NamedForm<'_>, now: u64, cost: u32) -> Expected {
        match self {
            Self::Listed(listed) => listed.peek(form, now, cost),
            Self::Buckets(buckets) => buckets.peek(form, now, cost),
        }
    }

    /// Gives back a charge by the form that took it.
    pub fn refund(&mut self, form: NamedForm<'_>, now: u64, stamp: u64, units: u32) -> bool {
        match self {
            Self::Listed(listed) => listed.refund(form, now, stamp, units),
            Self::Buckets(_) => unreachable!("its traces have no refunds"),
        }
    }

    pub fn reset(&mut self) {
        match self {
            Self::Listed(listed) => listed.reset(),
            Self::Buckets(buckets) => buckets.reset(),
        }
    }
}
