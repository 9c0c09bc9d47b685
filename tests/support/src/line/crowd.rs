//! Those who wait on a real limiter. Each has a waker of its own, and is polled only if that was
//! called.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use tollgate::{
    Algorithm, Decision, Limiter, LimiterBuilder, Outcome, Override, Overrides, PerSubject, Policy,
    Quota, Source,
};

use super::steps::{Case, Step};
use super::waiter::Waiter;
use super::{Event, Fate, is_reset_first, policy};
use crate::reference::{Numbers, START};
use crate::subject::Store;

/// For how long the function of subjects is not asked again, in microseconds.
pub const PLAN_AGE: u64 = 2_000_000;

/// The policy of a question that is always sent, whatever is said of the others.
static BARRIER: Policy = Policy::new("barrier", Quota::per_second(1));

/// What the function of subjects says. Subjects share it.
pub type Plan = Arc<Mutex<Option<Override>>>;

/// The function of subjects that says what the plan is.
pub fn plans(plan: &Plan) -> PerSubject {
    let plan = Arc::clone(plan);
    PerSubject::new(move |policy, _| plan.lock().unwrap().clone().filter(|_| *policy != BARRIER))
        .max_age(Duration::from_micros(PLAN_AGE))
}

/// A limiter whose policies of the case can be overridden.
pub fn line_limiter(builder: LimiterBuilder, case: &Case, plan: &Plan) -> Limiter {
    builder.declare(policy(case.algorithm, &case.numbers)).per_subject(plans(plan)).build()
}

/// Somebody in line.
struct Member<'a> {
    number: usize,
    cost: u32,
    waiter: Waiter<'a>,
}

pub struct Crowd<'a, S> {
    store: &'a S,
    policy: &'a Policy,
    subject: &'a str,
    plan: &'a Plan,
    algorithm: Algorithm,
    numbers: Vec<Numbers>,
    waiters: Vec<Member<'a>>,
    arrived: usize,
    admitted: Vec<Decision>,
    events: Vec<Event>,
}

impl<'a, S: Store> Crowd<'a, S> {
    pub fn new(
        store: &'a S,
        case: &Case,
        policy: &'a Policy,
        subject: &'a str,
        plan: &'a Plan,
    ) -> Self {
        store.clock().set_micros(START);
        *plan.lock().unwrap() = None;
        store.limiter().set_overrides(Overrides::new()).unwrap();
        let (algorithm, numbers) = (case.algorithm, case.numbers.clone());
        let (waiters, admitted, events) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            store,
            policy,
            subject,
            plan,
            algorithm,
            numbers,
            waiters,
            arrived: 0,
            admitted,
            events,
        }
    }

    pub fn step(&mut self, step: Step) -> Vec<Event> {
        match step {
            Step::Wait(cost, patience) => self.join(cost, patience),
            Step::Check(cost) => self.check(cost),
            Step::Pass(span) => self.pass(span),
            Step::PassThenCheck(span, cost) => {
                self.pass(span);
                self.check(cost);
            }
            Step::PassThenWait(span, cost, patience) => {
                self.pass(span);
                self.join(cost, patience);
            }
            Step::PassThenDrop(span, index) => {
                self.pass(span);
                self.give_up(index);
            }
            Step::Drop(index) => self.give_up(index),
            Step::Refund(back) => {
                if let Some(index) = self.admitted.len().checked_sub(back + 1) {
                    let refund = self.store.limiter().refund(self.admitted.remove(index));
                    self.events.push(Event::Refunded(self.store.wait(refund).unwrap()));
                }
            }
            Step::Reset => self.reset(),
            Step::Limit(limit) => {
                if is_reset_first(self.algorithm) {
                    self.reset();
                }
                self.change(|changes| changes.quotas(self.quotas(limit)));
            }
            Step::Switch(is_on) => self.change(|changes| changes.enabled(is_on)),
            Step::Plan(limit) => {
                let plan = limit.map(|limit| Override::new().quotas(self.quotas(limit)));
                *self.plan.lock().unwrap() = plan;
            }
            Step::PlanOff => {
                *self.plan.lock().unwrap() = Some(Override::new().enabled(false));
            }
        }
        self.settle();
        std::mem::take(&mut self.events)
    }

    /// Gives up all, and says whether nothing is left of them: after a reset, a check that takes
    /// all there is passes.
    pub fn end(&mut self) -> bool {
        self.waiters.clear();
        self.store.limiter().set_overrides(Overrides::new()).unwrap();
        *self.plan.lock().unwrap() = None;
        self.pass(PLAN_AGE);
        self.reset();
        let all = self.policy.quotas().iter().map(Quota::capacity).min().unwrap();
        self.store.check(self.policy, self.subject, all).is_allowed()
    }

    fn quotas(&self, limit: u32) -> Vec<Quota> {
        let first = Numbers { limit, ..self.numbers[0] };
        [first].iter().chain(&self.numbers[1..]).map(Numbers::quota).collect()
    }

    fn change(&self, change: impl FnOnce(Override) -> Override) {
        let update = |overrides: Overrides| {
            let changes = overrides.get("line").cloned().unwrap_or_else(Override::new);
            overrides.with("line", change(changes))
        };
        self.store.limiter().update_overrides(update).unwrap();
    }

    fn pass(&self, span: u64) {
        self.store.clock().advance(Duration::from_micros(span));
    }

    fn reset(&mut self) {
        self.store.wait(self.store.limiter().reset(self.policy, self.subject)).unwrap();
        self.admitted.clear();
    }

    fn join(&mut self, cost: u32, patience: u64) {
        let patience = Duration::from_micros(patience);
        let wait = self.store.limiter().wait(self.policy, self.subject, cost, patience);
        let number = self.arrived;
        self.arrived += 1;
        self.waiters.push(Member { number, cost, waiter: Waiter::new(wait) });
        // Only its own answers make the newcomer go on before the others are polled.
        let of_newcomer = |member: &Member<'_>| member.number == number && member.waiter.is_woken();
        self.poll_while(of_newcomer);
    }

    fn give_up(&mut self, index: usize) {
        if !self.waiters.is_empty() {
            drop(self.waiters.remove(index % self.waiters.len()));
        }
    }

    fn check(&mut self, cost: u32) {
        let decision = self.store.check(self.policy, self.subject, cost);
        self.events.push(Event::Checked(decision.is_allowed(), decision.retry_after()));
        self.keep(decision, cost);
    }

    fn keep(&mut self, decision: Decision, cost: u32) {
        if decision.is_allowed() && decision.source() != Source::Disabled && cost > 0 {
            self.admitted.push(decision);
        }
    }

    /// Polls whoever is woken, the first in line first, until nobody is.
    fn settle(&mut self) {
        self.idle();
        self.poll_while(|member| member.waiter.is_woken());
    }

    fn poll_while(&mut self, is_next: impl Fn(&Member<'_>) -> bool) {
        while let Some(index) = self.waiters.iter().position(&is_next) {
            self.poll(index);
            self.idle();
        }
    }

    /// Waits until the store has answered all that it was asked before.
    fn idle(&self) {
        let barrier = self.store.limiter().peek(&BARRIER, "barrier", 0);
        let _ = self.store.wait(barrier).unwrap();
    }

    fn poll(&mut self, index: usize) {
        let waiter = &mut self.waiters[index].waiter;
        let Poll::Ready(decision) = self.store.wait(poll_fn(|_| Poll::Ready(waiter.poll()))) else {
            return;
        };
        let fate = match decision.outcome() {
            Outcome::Allowed if decision.source() == Source::Disabled => Fate::Free,
            Outcome::Allowed => Fate::Admitted,
            Outcome::Never => Fate::Never,
            _ => Fate::Refused,
        };
        let Member { number, cost, .. } = self.waiters.remove(index);
        self.events.push(Event::Left(number, fate));
        self.keep(decision, cost);
    }
}
