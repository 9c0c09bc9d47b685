//! One policy in several forms: other limits, periods, bursts, algorithms, and quotas in another
//! order or number, in turns.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use tollgate::{Algorithm, Decision, Outcome, Policy, Quota, Settled};

use crate::reference::{
    Actual, BanNumbers, Expected, Numbers, START, actual, has_bucket, said, spans, worst_window,
};
use crate::subject::Store;

/// An algorithm with quotas.
pub type Form = (Algorithm, Vec<Numbers>);

#[derive(Clone, Copy, Debug)]
pub enum FormStep {
    /// A charge under a form of this number.
    Charge(usize, u32),
    Peek(usize, u32),
    /// Gives back what was admitted so many admissions ago.
    Refund(usize),
    /// Settles what was admitted so many admissions ago.
    Settle(usize, Actual),
    /// Bans under a form, for so many microseconds.
    Ban(usize, u64),
    Unban(usize),
    /// A charge while the policy blocks the subject.
    Blocked(u32),
    Pass(u64),
    /// So many thousandths of a period of this form.
    Share(usize, u64),
    Reset,
}

pub fn form_steps(most: usize) -> impl Strategy<Value = Vec<FormStep>> {
    prop::collection::vec(form_step(), 1..most)
}

/// The same with settlements and bans among them.
pub fn settled_form_steps(most: usize) -> impl Strategy<Value = Vec<FormStep>> {
    let form = || 0_usize..4;
    let step = prop_oneof![
        24 => form_step(),
        4 => (0_usize..6, actual()).prop_map(|(back, actual)| FormStep::Settle(back, actual)),
        1 => (form(), spans()).prop_map(|(form, span)| FormStep::Ban(form, span)),
        1 => form().prop_map(FormStep::Unban),
        1 => (0_u32..=12).prop_map(FormStep::Blocked),
    ];
    prop::collection::vec(step, 1..most)
}

fn form_step() -> impl Strategy<Value = FormStep> {
    let form = || 0_usize..4;
    let cost = || prop_oneof![4 => Just(1_u32), 2 => 1_u32..=12, 1 => 0_u32..=200];
    prop_oneof![
        12 => (form(), cost()).prop_map(|(form, cost)| FormStep::Charge(form, cost)),
        3 => (form(), cost()).prop_map(|(form, cost)| FormStep::Peek(form, cost)),
        3 => (0_usize..6).prop_map(FormStep::Refund),
        3 => (0_u64..=3).prop_map(FormStep::Pass),
        2 => (0_u64..=2_000_000).prop_map(FormStep::Pass),
        4 => (form(), 0_u64..=1_100).prop_map(|(form, share)| FormStep::Share(form, share)),
        1 => Just(FormStep::Reset),
    ]
}

/// Small quotas of one of a few periods, so that forms often have some in common.
fn small(algorithm: Algorithm) -> impl Strategy<Value = Numbers> {
    let limit = prop_oneof![8 => 1_u32..=30, 1 => 1_000_u32..=1_100];
    let period = prop_oneof![
        6 => prop::sample::select(vec![10_000_u64, 1_000_000, 1_884_967]),
        1 => 2_000_u64..=4_000_000,
    ];
    (limit, period, 1_u32..=30, any::<bool>()).prop_map(move |(limit, period, burst, bursts)| {
        let numbers = Numbers::new(limit.min(u32::try_from(period).unwrap()), period);
        if bursts && has_bucket(algorithm) { numbers.burst(burst) } else { numbers }
    })
}

/// Forms of any algorithm; of this one alone, if there is one.
pub fn forms(algorithm: Option<Algorithm>) -> impl Strategy<Value = Vec<Form>> {
    let algorithms = algorithm.map_or(Algorithm::ALL.to_vec(), |algorithm| vec![algorithm]);
    let form = prop::sample::select(algorithms).prop_flat_map(|algorithm| {
        (Just(algorithm), prop::collection::vec(small(algorithm), 1..=3))
    });
    prop::collection::vec(form, 2..=4)
}

/// What happened to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormAnswer {
    Said(Expected),
    Refunded(bool),
    Settled(Settled),
    Unbanned(bool),
    Nothing,
}

/// What was admitted: the form, when, and how much of it was not given back.
#[derive(Clone, Copy, Debug)]
pub struct Admitted {
    pub form: usize,
    pub at: u64,
    pub units: u64,
}

/// A store, and what it has admitted to one subject.
pub struct Forms<S> {
    store: S,
    subject: String,
    policies: Vec<Policy>,
    numbers: Vec<Vec<Numbers>>,
    pub now: u64,
    granted: Vec<(usize, Decision)>,
    pub admitted: Vec<Admitted>,
}

impl<S: Store> Forms<S> {
    pub fn new(store: S, subject: String, forms: &[Form]) -> Self {
        let policies =
            forms.iter().map(|(algorithm, numbers)| Numbers::policy(*algorithm, numbers));
        let numbers = forms.iter().map(|(_, numbers)| numbers.clone()).collect();
        Self::of((store, subject), START, policies.collect(), numbers)
    }

    /// From other policies, each with its numbers.
    pub fn of(
        (store, subject): (S, String),
        now: u64,
        policies: Vec<Policy>,
        numbers: Vec<Vec<Numbers>>,
    ) -> Self {
        store.clock().set_micros(now);
        let (granted, admitted) = (Vec::new(), Vec::new());
        Self { store, subject, policies, numbers, now, granted, admitted }
    }

    /// Bans by these numbers, under each of the forms.
    pub fn with_bans(self, bans: &[Option<BanNumbers>]) -> Self {
        let bans = bans.iter().copied().chain(std::iter::repeat(None));
        let pairs = self.policies.into_iter().zip(bans);
        let policies = pairs.map(|(policy, ban)| BanNumbers::on(policy, ban)).collect();
        Self { policies, ..self }
    }

    pub fn step(&mut self, step: FormStep) -> FormAnswer {
        match step {
            FormStep::Charge(form, cost) => {
                let form = form % self.policies.len();
                let decision = self.store.check(&self.policies[form], &self.subject, cost);
                let answer = said(&decision);
                if decision.is_allowed() && cost > 0 {
                    self.granted.push((self.admitted.len(), decision));
                    let (at, units) = (self.now, cost.into());
                    self.admitted.push(Admitted { form, at, units });
                }
                FormAnswer::Said(answer)
            }
            FormStep::Peek(form, cost) => {
                let policy = &self.policies[form % self.policies.len()];
                let peek = self.store.limiter().peek(policy, &self.subject, cost);
                FormAnswer::Said(said(&self.store.wait(peek).unwrap()))
            }
            FormStep::Refund(back) => {
                let Some(index) = self.granted.len().checked_sub(back + 1) else {
                    return FormAnswer::Nothing;
                };
                let (admitted, decision) = self.granted.remove(index);
                let refunded = self.store.wait(self.store.limiter().refund(decision)).unwrap();
                if refunded {
                    self.admitted[admitted].units = 0;
                }
                FormAnswer::Refunded(refunded)
            }
            FormStep::Settle(back, actual) => {
                let Some(index) = self.granted.len().checked_sub(back + 1) else {
                    return FormAnswer::Nothing;
                };
                let (admitted, decision) = self.granted.remove(index);
                let actual = self.actual(admitted, actual);
                let settle = self.store.limiter().settle(decision, actual);
                let settled = self.store.wait(settle).unwrap();
                if settled == Settled::Refunded {
                    self.admitted[admitted].units = actual.into();
                }
                FormAnswer::Settled(settled)
            }
            FormStep::Ban(form, micros) => {
                let policy = &self.policies[form % self.policies.len()];
                let duration = Duration::from_micros(micros);
                let ban = self.store.limiter().ban(policy, &self.subject, duration);
                self.store.wait(ban).unwrap();
                FormAnswer::Nothing
            }
            FormStep::Unban(form) => {
                let policy = &self.policies[form % self.policies.len()];
                let unban = self.store.limiter().unban(policy, &self.subject);
                FormAnswer::Unbanned(self.store.wait(unban).unwrap())
            }
            FormStep::Blocked(cost) => {
                let blocked = Policy::named(self.policies[0].name(), Quota::BLOCKED);
                FormAnswer::Said(said(&self.store.check(&blocked, &self.subject, cost)))
            }
            FormStep::Pass(micros) => self.pass(micros),
            FormStep::Share(form, share) => {
                self.pass(self.numbers[form % self.numbers.len()][0].period * share / 1_000)
            }
            FormStep::Reset => {
                let reset = self.store.limiter().reset(&self.policies[0], &self.subject);
                self.store.wait(reset).unwrap();
                self.granted.clear();
                self.admitted.clear();
                // No charge from before has the stamp of one that comes after.
                self.pass(1)
            }
        }
    }

    /// The charge that a refund of so many admissions ago would give back.
    pub fn to_refund(&self, back: usize) -> Option<Admitted> {
        let index = self.granted.len().checked_sub(back + 1)?;
        Some(self.admitted[self.granted[index].0])
    }

    /// The charge that a settlement of so many admissions ago would change, and what it comes to.
    pub fn to_settle(&self, back: usize, actual: Actual) -> Option<(Admitted, u32)> {
        let index = self.granted.len().checked_sub(back + 1)?;
        let admitted = self.granted[index].0;
        Some((self.admitted[admitted], self.actual(admitted, actual)))
    }

    fn actual(&self, admitted: usize, actual: Actual) -> u32 {
        let charge = self.admitted[admitted];
        actual.of(u32::try_from(charge.units).unwrap(), &self.numbers[charge.form])
    }

    fn pass(&mut self, micros: u64) -> FormAnswer {
        self.set(self.now + micros)
    }

    /// Sets the clock, also back.
    pub fn set(&mut self, now: u64) -> FormAnswer {
        self.now = now;
        self.store.clock().set_micros(self.now);
        FormAnswer::Nothing
    }

    /// Asserts that a wait that is told for `cost` under a form is the last, and no longer than it has to
    /// be: the request passes when it is over, if nobody else came, and not a microsecond before.
    pub fn assert_wait_stands(&mut self, form: usize, cost: u32) -> Result<(), String> {
        let form = form % self.policies.len();
        let FormAnswer::Said(told) = self.step(FormStep::Peek(form, cost)) else { unreachable!() };
        let Outcome::Refused { retry_after } = told.outcome else { return Ok(()) };
        self.pass(u64::try_from(retry_after.as_micros()).unwrap() - 1);
        for passes in [false, true] {
            let FormAnswer::Said(then) = self.step(FormStep::Peek(form, cost)) else {
                unreachable!()
            };
            if (then.outcome == Outcome::Allowed) != passes {
                return Err(format!("{told:?}, and then, {}: {then:?}", self.now));
            }
            self.pass(1);
        }
        Ok(())
    }

    /// Asserts the bound: of what the forms with quotas of one algorithm and one period have
    /// admitted, a window of that period holds at most what the loosest limit and the largest
    /// burst among them admit.
    pub fn assert_bounds(&self, forms: &[Form]) -> Result<(), String> {
        let kind = |algorithm| if has_bucket(algorithm) { Algorithm::Gcra } else { algorithm };
        let key = |algorithm, quota: &Numbers| {
            let bucket = has_bucket(algorithm).then(|| (quota.limit, quota.capacity()));
            (kind(algorithm), quota.period, bucket)
        };
        let keys = forms.iter().flat_map(|(algorithm, numbers)| {
            numbers.iter().map(|quota| key(*algorithm, quota)).collect::<Vec<_>>()
        });
        // Beyond four that are set aside, some are forgotten, and admit again.
        if keys.collect::<HashSet<_>>().len() > 5 {
            return Ok(());
        }
        for (algorithm, numbers) in forms {
            for quota in numbers {
                let alike = |form: &Form| {
                    let alike = form.1.iter().filter(|other| other.period == quota.period);
                    (kind(form.0) == kind(*algorithm)).then(|| alike.copied().collect::<Vec<_>>())
                };
                let alike: Vec<Vec<Numbers>> =
                    forms.iter().map(|form| alike(form).unwrap_or_default()).collect();
                let most = |of: &dyn Fn(&Numbers) -> u64| {
                    // A form with two such quotas keeps the tighter one. Of two buckets, one can
                    // have the smaller limit and the other the smaller burst.
                    let of_form = |numbers: &Vec<Numbers>| {
                        let numbers = numbers.iter().map(of);
                        if has_bucket(*algorithm) { numbers.max() } else { numbers.min() }
                    };
                    alike.iter().filter_map(of_form).max().unwrap()
                };
                let limit = most(&|numbers| numbers.limit.into());
                let burst = most(&|numbers| numbers.capacity());
                let loosest = Numbers::new(u32::try_from(limit).unwrap(), quota.period)
                    .burst(u32::try_from(burst).unwrap());
                let judged = self.admitted.iter().filter(|each| !alike[each.form].is_empty());
                let judged: Vec<_> = judged.map(|each| (each.at, each.units)).collect();
                let (worst, bound) =
                    (worst_window(&judged, quota.period), loosest.bound(*algorithm));
                if worst > bound {
                    return Err(format!("{worst} of {bound} in {} of {quota:?}", quota.period));
                }
            }
        }
        Ok(())
    }
}

/// A charge that is no longer in use is not refunded from the state of another form, which is newer
/// than the charge, whatever form the state meets afterwards.
pub fn a_refund_gives_back_no_other_charge<S: Store>(
    before: Algorithm,
    store: impl Fn() -> (S, String),
) {
    for &after in Algorithm::ALL {
        for &other in Algorithm::ALL {
            let forms = [
                (before, vec![Numbers::new(2, 10_000)]),
                (after, vec![Numbers::new(1, 1_000_000)]),
                (other, vec![Numbers::new(3, 30_000)]),
            ];
            for then in [None, Some(FormStep::Charge(2, 1))] {
                let (store, subject) = store();
                let mut subject = Forms::new(store, subject, &forms);
                subject.step(FormStep::Charge(0, 1));
                subject.step(FormStep::Pass(20_000));
                subject.step(FormStep::Charge(1, 1));
                then.into_iter().for_each(|step| drop(subject.step(step)));
                let refunds = subject.granted.len() - 1;
                let refunded = subject.step(FormStep::Refund(refunds));
                assert_eq!(refunded, FormAnswer::Refunded(false), "{before:?}, {after:?}");
                subject.step(FormStep::Charge(1, 1));
                let again = subject.admitted.iter().filter(|each| each.form == 1).count();
                assert_eq!(again, 1, "{before:?}, {after:?}, {other:?}, {then:?}");
            }
        }
    }
}

/// A charge whose period is over is not refunded from one that came later: neither from its granule,
/// which limits above 1,024 share, nor from an entry of its own, after the limit has changed.
pub fn a_charge_that_has_left_is_not_refunded<S: Store>(store: impl Fn() -> (S, String)) {
    let period = 1_024_000;
    let limits = [1_000, 1_024, 1_025, 2_000];
    for (first, second) in limits.iter().flat_map(|first| limits.map(|second| (*first, second))) {
        for (apart, left) in [(1, 0), (1, 1), (900, 0), (900, 899)] {
            let forms = [first, second].map(|limit| Numbers::new(limit, period));
            let forms = forms.map(|numbers| (Algorithm::SlidingWindow, vec![numbers]));
            let (store, subject) = store();
            let mut subject = Forms::new(store, subject, &forms);
            // The beginning of a granule, in which both charges are.
            subject.pass(1_000 - START % 1_000);
            subject.step(FormStep::Charge(0, 500));
            subject.pass(apart);
            subject.step(FormStep::Charge(1, 500));
            subject.pass(period - apart + left.min(apart - 1));
            let refunded = subject.step(FormStep::Refund(1));
            assert_eq!(refunded, FormAnswer::Refunded(false), "{first}, {second}, {apart}, {left}");
            let FormAnswer::Said(said) = subject.step(FormStep::Peek(1, 1)) else { unreachable!() };
            let in_use = second - said.quotas[0].remaining();
            assert!(in_use >= 500, "{first}, {second}, {apart}, {left}: {in_use}");
        }
    }
}

/// A wait is told by the part of another form from which the answer is derived, and while it lasts
/// that part becomes empty, or its time aside is over, before a third form's.
pub fn a_wait_is_told_by_the_same_part_until_it_is_over<S: Store>(store: S, subject: String) {
    let forms = [
        (Algorithm::SlidingWindow, vec![Numbers::new(179, 60_000_001)]),
        (Algorithm::TokenBucket, vec![Numbers::new(222, 60_000_000)]),
        (Algorithm::SlidingWindow, vec![Numbers::new(247, 60_000_000)]),
    ];
    let mut subject = Forms::new(store, subject, &forms);
    let steps = [
        FormStep::Charge(1, 47),
        FormStep::Charge(2, 169),
        FormStep::Pass(270_271),
        FormStep::Charge(1, 7),
    ];
    steps.into_iter().for_each(|step| drop(subject.step(step)));
    assert_eq!(subject.admitted.len(), 3);
    assert_eq!(subject.assert_wait_stands(0, 1), Ok(()));
}
