//! One subject of one policy, counted in memory on a clock that stands until it is set.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Decision, Limiter, MemoryBackend, Policy};

use crate::reference::{Action, Answer, Event, Numbers, START, micros, said};

pub(crate) struct Subject {
    limiter: Limiter,
    policy: Policy,
    clock: ManualClock,
    pub(crate) now: u64,
}

impl Subject {
    pub(crate) fn new(algorithm: Algorithm, numbers: &[Numbers]) -> Self {
        let clock = ManualClock::new();
        clock.set_micros(START);
        let backend = MemoryBackend::builder().clock(clock.clone()).build();
        let policy = Numbers::policy(algorithm, numbers);
        Self { limiter: Limiter::builder(backend).build(), policy, clock, now: START }
    }

    pub(crate) fn set(&mut self, now: u64) {
        self.now = now;
        self.clock.set_micros(now);
    }

    pub(crate) fn pass(&mut self, micros: u64) {
        self.set(self.now + micros);
    }

    pub(crate) fn check(&self, cost: u32) -> Decision {
        self.check_of("subject", cost)
    }

    pub(crate) fn check_of(&self, subject: &str, cost: u32) -> Decision {
        self.limiter.check_now(&self.policy, subject, cost).unwrap().unwrap()
    }

    pub(crate) fn peek(&self, cost: u32) -> Decision {
        ready(self.limiter.peek(&self.policy, "subject", cost)).unwrap()
    }

    pub(crate) fn refund(&self, decision: Decision) -> bool {
        ready(self.limiter.refund(decision)).unwrap()
    }

    pub(crate) fn reset(&self) {
        ready(self.limiter.reset(&self.policy, "subject")).unwrap();
    }

    /// Asks again and again, each time as soon as it may, until `end`: when and how much was
    /// admitted.
    pub(crate) fn take_greedily(&mut self, cost: u32, end: u64) -> Vec<(u64, u64)> {
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
pub(crate) struct Replay {
    pub(crate) subject: Subject,
    /// The decision of each event so far, until it is given back.
    decisions: Vec<Option<Decision>>,
}

impl Replay {
    pub(crate) fn new(algorithm: Algorithm, numbers: &[Numbers]) -> Self {
        Self { subject: Subject::new(algorithm, numbers), decisions: Vec::new() }
    }

    pub(crate) fn answer(&mut self, event: &Event) -> Answer {
        self.subject.set(event.at);
        let (answer, decision) = match event.action {
            Action::Charge(cost) => {
                let decision = self.subject.check(cost);
                (Answer::Decision(said(&decision)), Some(decision))
            }
            Action::Peek(cost) => (Answer::Decision(said(&self.subject.peek(cost))), None),
            Action::Refund(index) => {
                let decision = self.decisions[index].take();
                let refund = |decision| self.subject.refund(decision);
                (Answer::Refunded(decision.is_some_and(refund)), None)
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
    pub(crate) fn skip(&mut self) {
        self.decisions.push(None);
    }
}

/// The memory store answers without waiting.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the memory store made somebody wait"),
    }
}
