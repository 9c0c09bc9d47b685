//! Stores whose policy changes its form, beside a model of all that was admitted: the same answers,
//! to the microsecond.

use proptest::prelude::*;
use tollgate::{Algorithm, Settled};

use crate::forms::{Form, FormAnswer, FormStep, Forms, form_steps, forms, settled_form_steps};
use crate::reference::{
    Actual, BanNumbers, Banned, ChangedBuckets, ChangedWindows, Expected, Listed, Numbers, bans,
    has_bucket,
};
use crate::subject::Store;

/// The model by which a trace is judged.
#[derive(Clone, Debug)]
pub enum Model {
    /// The list of all admissions, judged by the form in force.
    Listed(Listed),
    /// Fixed windows that go on under other limits, and owe what they could not take.
    Windows(ChangedWindows),
    /// Buckets of which a new one takes over what another one held.
    Buckets(ChangedBuckets),
}

/// Forms, and what happens under them.
#[derive(Clone, Debug)]
pub struct Judged {
    pub model: Model,
    pub forms: Vec<Form>,
    /// The ban of each form's policy.
    pub bans: Vec<Option<BanNumbers>>,
    pub steps: Vec<FormStep>,
}

/// Traces whose answers the guide says to the microsecond.
pub fn judged(algorithm: Algorithm, most: usize) -> BoxedStrategy<Judged> {
    let steps = || form_steps(most).boxed();
    let judged = |model: Model, forms: BoxedStrategy<Vec<Form>>| {
        let judged = move |(forms, steps)| {
            let bans = Vec::new();
            Judged { model: model.clone(), forms, bans, steps }
        };
        (forms, steps()).prop_map(judged).boxed()
    };
    match algorithm {
        Algorithm::FixedWindow => judged(Model::listed(), of_the_same_periods(algorithm).boxed()),
        _ => of_models(algorithm, judged),
    }
}

/// The same with settlements and bans among the steps.
pub fn judged_with_debts(algorithm: Algorithm, most: usize) -> BoxedStrategy<Judged> {
    let judged = |model: Model, forms: BoxedStrategy<Vec<Form>>| {
        let judged = move |(forms, bans, mut steps): (_, _, Vec<FormStep>)| {
            for step in &mut steps {
                // A log that counts no further keeps a debt from the others, which could.
                if let FormStep::Settle(_, Actual::Units(units)) = step {
                    *units /= 64;
                }
            }
            Judged { model: model.clone(), forms, bans, steps }
        };
        let bans = prop::collection::vec(bans(), 4..=4);
        (forms, bans, settled_form_steps(most)).prop_map(judged).boxed()
    };
    match algorithm {
        // A debt fills the window by the limit that was in force then.
        Algorithm::FixedWindow => {
            let model = Model::Windows(ChangedWindows::default());
            judged(model, of_the_same_periods(algorithm).boxed())
        }
        _ => of_models(algorithm, judged),
    }
}

/// The forms that a model judges, of all algorithms but one.
fn of_models(
    algorithm: Algorithm,
    judged: impl Fn(Model, BoxedStrategy<Vec<Form>>) -> BoxedStrategy<Judged>,
) -> BoxedStrategy<Judged> {
    match algorithm {
        Algorithm::SlidingWindow => judged(Model::listed(), of_one_longest_period().boxed()),
        Algorithm::SlidingWindowCounter => {
            judged(Model::listed(), of_the_same_periods(algorithm).boxed())
        }
        _ => {
            let buckets = Model::Buckets(ChangedBuckets::default());
            let buckets = judged(buckets, forms(Some(algorithm)).boxed());
            prop_oneof![
                2 => judged(Model::listed(), in_another_order().boxed()),
                3 => buckets.prop_map(|mut judged| {
                    // A bucket that takes over units does not know whose they are.
                    judged.steps.retain(|step| !matches!(step, FormStep::Refund(_)));
                    judged
                }),
            ]
            .boxed()
        }
    }
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
        let mut subject = Forms::new(store, subject, &self.forms).with_bans(&self.bans);
        let mut banned = Banned::default();
        for (index, step) in self.steps.iter().enumerate() {
            let form = |form: usize| {
                let (algorithm, numbers) = &self.forms[form % self.forms.len()];
                (*algorithm, numbers.as_slice())
            };
            let now = subject.now;
            let expected = match *step {
                FormStep::Charge(by, cost) if banned.outcome(now).is_none() => {
                    let said = self.model.charge(form(by), now, cost);
                    let ban = self.bans.get(by % self.forms.len()).copied().flatten();
                    FormAnswer::Said(banned.count(ban, form(by).1, now, said))
                }
                FormStep::Charge(by, cost) | FormStep::Peek(by, cost) => {
                    let said = self.model.peek(form(by), now, cost);
                    let outcome = banned.outcome(now).unwrap_or(said.outcome);
                    FormAnswer::Said(Expected { outcome, ..said })
                }
                FormStep::Refund(back) => match subject.to_refund(back) {
                    Some(charge) => {
                        let units = u32::try_from(charge.units).unwrap();
                        let refund = self.model.refund(form(charge.form), now, charge.at, units);
                        FormAnswer::Refunded(refund)
                    }
                    None => FormAnswer::Nothing,
                },
                FormStep::Settle(back, actual) => match subject.to_settle(back, actual) {
                    Some((charge, actual)) => {
                        let (algorithm, numbers) = form(charge.form);
                        let is_lost = self.model.is_unused(now);
                        let units = u32::try_from(charge.units).unwrap();
                        if is_lost && actual > units && !self.model.is_form((algorithm, numbers)) {
                            // A store may have forgotten the form in force by now, or not yet.
                            continue;
                        }
                        if actual < units && matches!(self.model, Model::Buckets(_)) {
                            continue;
                        }
                        let charged = (charge.at, units);
                        let form = (algorithm, numbers);
                        FormAnswer::Settled(self.model.settle(form, now, charged, actual))
                    }
                    None => FormAnswer::Nothing,
                },
                FormStep::Ban(_, span) => {
                    banned.ban(now, span);
                    FormAnswer::Nothing
                }
                FormStep::Blocked(_) => FormAnswer::Said(Expected::blocked()),
                FormStep::Unban(_) => FormAnswer::Unbanned(banned.unban(now)),
                FormStep::Reset => {
                    banned = Banned::default();
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
    fn listed() -> Self {
        Self::Listed(Listed::default())
    }

    pub fn charge(&mut self, form: NamedForm<'_>, now: u64, cost: u32) -> Expected {
        match self {
            Self::Listed(listed) => listed.charge(form, now, cost),
            Self::Windows(windows) => windows.charge(form.1, now, cost),
            Self::Buckets(buckets) => buckets.charge(form, now, cost),
        }
    }

    pub fn peek(&self, form: NamedForm<'_>, now: u64, cost: u32) -> Expected {
        match self {
            Self::Listed(listed) => listed.peek(form, now, cost),
            Self::Windows(windows) => windows.peek(form.1, now, cost),
            Self::Buckets(buckets) => buckets.peek(form, now, cost),
        }
    }

    /// Gives back a charge by the form that took it.
    pub fn refund(&mut self, form: NamedForm<'_>, now: u64, stamp: u64, units: u32) -> bool {
        self.give_back(form, now, (stamp, units), units)
    }

    fn give_back(
        &mut self,
        form: NamedForm<'_>,
        now: u64,
        (stamp, units): (u64, u32),
        back: u32,
    ) -> bool {
        match self {
            Self::Listed(listed) => listed.give_back(form, now, (stamp, units), back),
            Self::Windows(windows) => windows.give_back(now, stamp, units, back),
            Self::Buckets(_) => unreachable!("its traces have no refunds"),
        }
    }

    /// Replaces a charge, of so many units at an instant, by what it came to.
    fn settle(
        &mut self,
        form: NamedForm<'_>,
        now: u64,
        charge: (u64, u32),
        actual: u32,
    ) -> Settled {
        let debt = actual.saturating_sub(charge.1);
        if actual == charge.1 {
            return Settled::Unchanged;
        }
        if debt == 0 {
            let is_given = self.give_back(form, now, charge, charge.1 - actual);
            return if is_given { Settled::Refunded } else { Settled::Nothing };
        }
        match self {
            Self::Listed(listed) => listed.owe(now, debt),
            Self::Windows(windows) => windows.owe(form.1, now, debt),
            Self::Buckets(buckets) => buckets.owe(form.1, now, debt),
        }
        Settled::Charged
    }

    /// Says if this is the form in force, as far as that matters.
    fn is_form(&self, form: NamedForm<'_>) -> bool {
        match self {
            Self::Listed(_) => true,
            Self::Windows(windows) => windows.is_form(form.1),
            Self::Buckets(buckets) => buckets.is_form(form.1),
        }
    }

    /// Says if nothing counts any more, as far as that matters.
    fn is_unused(&self, now: u64) -> bool {
        match self {
            Self::Listed(_) => false,
            Self::Windows(windows) => windows.is_unused(now),
            Self::Buckets(buckets) => buckets.is_unused(now),
        }
    }

    pub fn reset(&mut self) {
        match self {
            Self::Listed(listed) => listed.reset(),
            Self::Windows(windows) => windows.reset(),
            Self::Buckets(buckets) => buckets.reset(),
        }
    }
}
