//! A server, and a limiter on it, on a clock that stands until it is set.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Decision, Limiter, LocalTier, Policy, RedisBackend};

use support::redis::RedisServer;
use support::reference::{Numbers, START};
use support::subject::{Store, Subject};

/// Long enough that no loaded machine misses it: no test asks how long something took.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A server, and a limiter on it whose time is the test's.
pub(crate) struct Timed {
    pub(crate) server: RedisServer,
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
        Self { server, runtime: runtime(), limiter, clock, next: AtomicU64::new(0) }
    }

    /// A subject that no other trace has used.
    pub(crate) fn subject(&self) -> String {
        format!("subject {}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Such a subject, of a policy of its own numbers.
    pub(crate) fn subject_of(
        &self,
        algorithm: Algorithm,
        numbers: &[Numbers],
    ) -> Subject<&'_ Self> {
        Subject::of(self, self.subject(), algorithm, numbers)
    }

    pub(crate) fn check(&self, policy: &Policy, subject: &str, cost: u32) -> Decision {
        self.runtime.block_on(self.limiter.check_cost(policy, subject, cost)).unwrap()
    }

    pub(crate) fn peek(&self, policy: &Policy, subject: &str, cost: u32) -> Decision {
        self.runtime.block_on(self.limiter.peek(policy, subject, cost)).unwrap()
    }
}

impl Store for &Timed {
    fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

pub(crate) fn limiter_on(url: &str, clock: &ManualClock) -> Limiter {
    let backend = RedisBackend::builder(url).virtual_time(clock.clone()).deadline(PATIENCE);
    // What the server decides is looked at, so nobody else is to decide.
    Limiter::builder(backend.build().unwrap()).local_tier(LocalTier::none()).build()
}

/// A limiter whose time is the server's.
pub(crate) fn limiter_at(url: &str) -> Limiter {
    let backend = RedisBackend::builder(url).deadline(PATIENCE).build().unwrap();
    Limiter::builder(backend).local_tier(LocalTier::none()).build()
}
