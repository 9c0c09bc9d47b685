//! One subject of one policy, wherever it is counted, on a clock that stands until it is set.

use std::sync::Arc;
use std::time::Duration;

use tollgate::backend::{self, MemoryBackendBuilder, Operation};
use tollgate::testing::ManualClock;
use tollgate::{
    Algorithm, Backend as _, Check, Decision, Limiter, MemoryBackend, Policy, Quota, Settled,
};

use crate::reference::{Action, Answer, BanNumbers, Event, Numbers, START, micros, said};

/// Where subjects are counted.
pub trait Store {
    fn limiter(&self) -> &Limiter;

    fn clock(&self) -> &ManualClock;

    fn wait<T>(&self, future: impl Future<Output = T>) -> T;

    fn check(&self, policy: &Policy, subject: &str, cost: u32) -> Decision {
        self.wait(self.limiter().check_cost(policy, subject, cost)).unwrap()
    }

    /// Carries out an operation that no limiter has a name for.
    fn apply(&self, operation: &Operation<'_>) -> backend::Answer {
        panic!("this store carries out nothing but what a limiter asks, so no {operation:?}")
    }
}

/// In memory, each subject in one of its own.
pub struct Memory {
    limiter: Limiter,
    backend: Arc<MemoryBackend>,
    clock: ManualClock,
}

impl Memory {
    pub fn new() -> Self {
        Self::of(MemoryBackend::builder())
    }

    /// For a few subjects, which is soon made.
    pub fn small() -> Self {
        Self::of(MemoryBackend::builder().max_keys(8))
    }

    fn of(builder: MemoryBackendBuilder) -> Self {
        let clock = ManualClock::new();
        let backend = Arc::new(builder.clock(clock.clone()).build());
        Self { limiter: Limiter::new(Arc::clone(&backend)), backend, clock }
    }
}

impl Store for Memory {
    fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        crate::at_once(future)
    }

    fn check(&self, policy: &Policy, subject: &str, cost: u32) -> Decision {
        self.limiter.check_now(policy, subject, cost).unwrap().unwrap()
    }

    fn apply(&self, operation: &Operation<'_>) -> backend::Answer {
        self.backend.apply_now(operation).unwrap().unwrap()
    }
}

pub struct Subject<S = Memory> {
    store: S,
    policy: Policy,
    name: String,
    pub now: u64,
}

impl Subject {
    pub fn new(algorithm: Algorithm, numbers: &[Numbers]) -> Self {
        Self::of(Memory::new(), "subject".to_owned(), algorithm, numbers)
    }
}

impl<S: Store> Subject<S> {
    /// One of this name, which nobody has used.
    pub fn of(store: S, name: String, algorithm: Algorithm, numbers: &[Numbers]) -> Self {
        store.clock().set_micros(START);
        Self { store, policy: Numbers::policy(algorithm, numbers), name, now: START }
    }

    /// Bans by these numbers.
    pub fn with_ban(self, ban: Option<BanNumbers>) -> Self {
        let policy = BanNumbers::on(self.policy, ban);
        Self { policy, ..self }
    }

    pub fn set(&mut self, now: u64) {
        self.now = now;
        self.store.clock().set_micros(now);
    }

    pub fn pass(&mut self, micros: u64) {
        self.set(self.now + micros);
    }

    pub fn check(&self, cost: u32) -> Decision {
        self.check_of(&self.name, cost)
    }

    pub fn check_of(&self, subject: &str, cost: u32) -> Decision {
        self.store.check(&self.policy, subject, cost)
    }

    /// Asks while the policy blocks the subject.
    pub fn check_blocked(&self, cost: u32) -> Decision {
        let blocked = Policy::named(self.policy.name(), Quota::BLOCKED);
        self.store.check(&blocked, &self.name, cost)
    }

    pub fn peek(&self, cost: u32) -> Decision {
        let peek = self.store.limiter().peek(&self.policy, &self.name, cost);
        self.store.wait(peek).unwrap()
    }

    pub fn refund(&self, decision: Decision) -> bool {
        self.store.wait(self.store.limiter().refund(decision)).unwrap()
    }

    /// Gives back a charge because its request has succeeded. The limiter does that for attributes
    /// and layers only; here, the refusals are forgotten first, and then the charge is given back.
    pub fn forgive(&self, decision: Decision) -> bool {
        let mut forgives = Operation::refund(Check::new(&self.policy, &self.name, 0), self.now);
        if let backend::Action::Refund { forgives, .. } = &mut forgives.action {
            *forgives = true;
        }
        assert_eq!(self.store.apply(&forgives), backend::Answer::Refunded(false));
        self.refund(decision)
    }

    pub fn settle(&self, decision: Decision, actual: u32) -> Settled {
        self.store.wait(self.store.limiter().settle(decision, actual)).unwrap()
    }

    pub fn ban(&self, micros: u64) {
        let duration = Duration::from_micros(micros);
        self.store.wait(self.store.limiter().ban(&self.policy, &self.name, duration)).unwrap();
    }

    pub fn unban(&self) -> bool {
        self.store.wait(self.store.limiter().unban(&self.policy, &self.name)).unwrap()
    }

    pub fn reset(&self) {
        self.store.wait(self.store.limiter().reset(&self.policy, &self.name)).unwrap();
    }

    /// Asks again and again, each time as soon as it may, until `end`: when and how much was
    /// admitted.
    pub fn take_greedily(&mut self, cost: u32, end: u64) -> Vec<(u64, u64)> {
        let mut admitted = Vec::new();
        while self.now < end {
            match self.check(cost).retry_after() {
                None => admitted.push((self.now, cost.into())),
                Some(span) => self.pass(micros(span)),
            }
        }
        admitted
    }
}

/// The answers to a trace, one event after another.
pub struct Replay<S = Memory> {
    pub subject: Subject<S>,
    /// The decision of each event so far, until it is given back.
    decisions: Vec<Option<Decision>>,
}

impl Replay {
    pub fn new(algorithm: Algorithm, numbers: &[Numbers]) -> Self {
        Self::of(Subject::new(algorithm, numbers))
    }
}

impl<S: Store> Replay<S> {
    pub fn of(subject: Subject<S>) -> Self {
        Self { subject, decisions: Vec::new() }
    }

    pub fn answer(&mut self, event: &Event) -> Answer {
        self.subject.set(event.at);
        let mut take = |index: usize| self.decisions[index].take();
        let (answer, decision) = match event.action {
            Action::Charge(cost) => {
                let decision = self.subject.check(cost);
                (Answer::Decision(said(&decision)), Some(decision))
            }
            Action::Peek(cost) => (Answer::Decision(said(&self.subject.peek(cost))), None),
            Action::Refund(index) => {
                let refund = |decision| self.subject.refund(decision);
                (Answer::Refunded(take(index).is_some_and(refund)), None)
            }
            Action::Forgive(index) => {
                let forgive = |decision| self.subject.forgive(decision);
                (Answer::Refunded(take(index).is_some_and(forgive)), None)
            }
            Action::Settle(index, actual) => {
                let settle = |decision| self.subject.settle(decision, actual);
                (Answer::Settled(take(index).map_or(Settled::Nothing, settle)), None)
            }
            Action::Ban(micros) => {
                self.subject.ban(micros);
                (Answer::Banned, None)
            }
            Action::Unban => (Answer::Unbanned(self.subject.unban()), None),
            Action::Blocked(cost) => {
                (Answer::Decision(said(&self.subject.check_blocked(cost))), None)
            }
            Action::Reset => {
                self.subject.reset();
                (Answer::Reset, None)
            }
        };
        self.decisions.push(decision);
        answer
    }

    /// Leaves an event out.
    pub fn skip(&mut self) {
        self.decisions.push(None);
    }
}
