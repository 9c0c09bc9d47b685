//! One subject of one policy on a server, on a clock that stands until it is set.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Decision, Limiter, LocalTier, Policy, RedisBackend};

use crate::reference::{Action, Answer, Event, Numbers, START, said};
use crate::servers::RedisServer;

/// Long enough that no loaded machine misses it: no test asks how long something took.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A server, and a limiter on it whose time is the test's.
pub(crate) struct Timed {
    _server: RedisServer,
    pub(crate) runtime: Runtime,
    pub(crate) limiter: Limiter,
    pub(crate) clock: ManualClock,
    next: AtomicU64,
}

impl Timed {
    pub(crate) fn start() -> Self {
        let server = RedisServer::start();
        let clock = ManualClock::new();
        clock.set_micros(START);
        let limiter = limiter_on(&server.url(), &clock);
        Self { _server: server, runtime: runtime(), limiter, clock, next: AtomicU64::new(0) }
    }

    /// A subject that no other trace has used.
    pub(crate) fn subject(&self) -> String {
        format!("subject {}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn check(&self, policy: &Policy, subject: &str, cost: u32) -> Decision {
        self.runtime.block_on(self.limiter.check_cost(policy, subject, cost)).unwrap()
    }

    pub(crate) fn peek(&self, policy: &Policy, subject: &str, cost: u32) -> Decision {
        self.runtime.block_on(self.limiter.peek(policy, subject, cost)).unwrap()
    }

    pub(crate) fn refund(&self, decision: Decision) -> bool {
        self.runtime.block_on(self.limiter.refund(decision)).unwrap()
    }

    pub(crate) fn reset(&self, policy: &Policy, subject: &str) {
        self.runtime.block_on(self.limiter.reset(policy, subject)).unwrap();
    }
}

fn limiter_on(url: &str, clock: &ManualClock) -> Limiter {
    let backend = RedisBackend::builder(url).virtual_time(clock.clone()).deadline(PATIENCE);
    // What the server decides is looked at, so nobody else is to decide.
    Limiter::builder(backend.build().unwrap()).local_tier(LocalTier::none()).build()
}

/// The answers to a trace, one event after another.
pub(crate) struct Replay<'a> {
    timed: &'a Timed,
    policy: Policy,
    subject: String,
    decisions: Vec<Option<Decision>>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(timed: &'a Timed, algorithm: Algorithm, numbers: &[Numbers]) -> Self {
        let policy = Numbers::policy(algorithm, numbers);
        Self { timed, policy, subject: timed.subject(), decisions: Vec::new() }
    }

    pub(crate) fn answer(&mut self, event: &Event) -> Answer {
        self.timed.clock.set_micros(event.at);
        let (policy, subject) = (&self.policy, &*self.subject);
        let (answer, decision) = match event.action {
            Action::Charge(cost) => {
                let decision = self.timed.check(policy, subject, cost);
                (Answer::Decision(said(&decision)), Some(decision))
            }
            Action::Peek(cost) => {
                (Answer::Decision(said(&self.timed.peek(policy, subject, cost))), None)
            }
            Action::Refund(index) => {
                let decision = self.decisions[index].take().unwrap();
                (Answer::Refunded(self.timed.refund(decision)), None)
            }
            Action::Reset => {
                self.timed.reset(policy, subject);
                (Answer::Reset, None)
            }
        };
        self.decisions.push(decision);
        answer
    }
}
