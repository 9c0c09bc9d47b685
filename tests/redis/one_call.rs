//! Operations on one key in one call: the answers are those to the same operations one after another,
//! also if another release has written the key.

use proptest::prelude::*;
use tollgate::backend::{Answer, Operation};
use tollgate::{Backend, Check, MemoryBackend, Outcome, Policy, QuotaState, RedisBackend};

use crate::timed::{PATIENCE, Timed};
use support::forms::{Form, forms};
use support::reference::{Numbers, START, cases};

/// What is done with the key.
#[derive(Clone, Copy, Debug)]
enum Step {
    Charge(usize, u32),
    Peek(usize, u32),
    /// The charge of the step of this number, if it is one.
    Refund(usize),
    Reset,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_usize..4, 1_u32..=4).prop_map(|(form, cost)| Step::Charge(form, cost)),
        2 => (0_usize..4, 1_u32..=4).prop_map(|(form, cost)| Step::Peek(form, cost)),
        6 => (0_usize..most).prop_map(Step::Refund),
        1 => Just(Step::Reset),
    ];
    prop::collection::vec(step, 1..=most)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Verdict(Outcome, Vec<QuotaState>),
    Refunded(bool),
    Reset,
}

fn say(answer: Answer) -> Said {
    match answer {
        Answer::Verdict(verdict) => Said::Verdict(verdict.outcome(), verdict.quotas().to_vec()),
        Answer::Refunded(refunded) => Said::Refunded(refunded),
        Answer::Reset => Said::Reset,
        other => panic!("{other:?}"),
    }
}

/// Steps that come one after another, a millisecond apart, and then some that come together.
struct Trace<'a> {
    policies: &'a [Policy],
    subject: &'a str,
    first: &'a [Step],
    together: &'a [Step],
}

impl Trace<'_> {
    fn stamp(&self, index: usize) -> u64 {
        START + 1_000 * index.min(self.first.len()) as u64
    }

    fn operation(&self, step: Step) -> Operation<'_> {
        let check = |form: usize, cost| {
            Check::new(&self.policies[form % self.policies.len()], self.subject, cost)
        };
        match step {
            Step::Charge(form, cost) => Operation::charge(check(form, cost)),
            Step::Peek(form, cost) => Operation::peek(check(form, cost)),
            Step::Reset => Operation::reset(check(0, 0)),
            Step::Refund(index) => match self.first.iter().chain(self.together).nth(index) {
                Some(Step::Charge(form, cost)) => {
                    Operation::refund(check(*form, *cost), self.stamp(index))
                }
                _ => Operation::peek(check(0, 0)),
            },
        }
    }

    /// Answers to the steps that come together, in one call or one by one, and to a look after them.
    fn answers(&self, timed: &Timed, backend: &impl Backend, at_once: bool) -> Vec<Said> {
        let apply = |batch: &[Operation<'_>]| {
            let answers = timed.runtime.block_on(backend.apply(batch));
            answers.into_iter().map(|answer| say(answer.unwrap())).collect::<Vec<_>>()
        };
        for (index, step) in self.first.iter().enumerate() {
            timed.clock.set_micros(self.stamp(index));
            let _ = apply(&[self.operation(*step)]);
        }
        timed.clock.set_micros(self.stamp(self.first.len()));
        let together: Vec<_> = self.together.iter().map(|step| self.operation(*step)).collect();
        let mut answers = match at_once {
            true => apply(&together),
            false => together.iter().flat_map(|each| apply(&[*each])).collect(),
        };
        timed.clock.set_micros(self.stamp(self.first.len()) + 1);
        let looks = self.policies.iter();
        answers.extend(
            looks.flat_map(|by| apply(&[Operation::peek(Check::new(by, self.subject, 1))])),
        );
        answers
    }
}

#[test]
fn answers_do_not_depend_on_the_call() {
    let timed = Timed::start();
    let redis = RedisBackend::builder(&timed.server.url()).virtual_time(timed.clock.clone());
    let redis = redis.deadline(PATIENCE).build().unwrap();
    proptest!(cases(60, 4_000), |(forms in forms(None), first in steps(4), together in steps(6))| {
        let policy = |(algorithm, numbers): &Form| Numbers::policy(*algorithm, numbers);
        let policies: Vec<_> = forms.iter().map(policy).collect();
        let subjects = [timed.subject(), timed.subject()];
        let trace = |subject| Trace { policies: &policies, subject, first: &first, together: &together };
        let at_once = trace(&subjects[0]).answers(&timed, &redis, true);
        let one_by_one = trace(&subjects[1]).answers(&timed, &redis, false);
        prop_assert_eq!(&at_once, &one_by_one, "at once, one by one");
        let memory = MemoryBackend::builder().clock(timed.clock.clone()).build();
        let in_memory = trace("s").answers(&timed, &memory, true);
        prop_assert_eq!(&at_once, &in_memory, "redis, memory");
    });
}
