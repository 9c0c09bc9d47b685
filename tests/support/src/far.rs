//! A store that takes a journey to ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tollgate::backend::Answer;
use tollgate::backend::{Operation, Verdict};
use tollgate::testing::ManualClock;
use tollgate::{Backend, BackendError, Check, Clock, Limiter, LimiterBuilder};
use tollgate::{MemoryBackend, Policy};

/// A store in memory that answers only after a while, and counts how often it is asked. Clones
/// are ways to the same store.
#[derive(Clone)]
pub struct FarStore {
    store: Arc<MemoryBackend>,
    pub clock: ManualClock,
    calls: Arc<AtomicU64>,
    /// How long the ways there and back take, in microseconds.
    ways: Arc<[AtomicU64; 2]>,
    fails: Arc<AtomicBool>,
}

impl FarStore {
    pub fn new() -> Self {
        let clock = ManualClock::new();
        let store = MemoryBackend::builder().clock(clock.clone()).build();
        Self {
            store: Arc::new(store),
            clock,
            calls: Arc::default(),
            ways: Arc::default(),
            fails: Arc::default(),
        }
    }

    /// How often it was asked.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// How long the next journeys take.
    pub fn set_ways(&self, ways: [u64; 2]) {
        for (way, micros) in self.ways.iter().zip(ways) {
            way.store(micros, Ordering::SeqCst);
        }
    }

    /// Whether it fails from now on, once it has been reached.
    pub fn set_fails(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// Carries out `batch`, and `then` tells that it happens.
    pub async fn apply_then(
        &self,
        batch: &[Operation<'_>],
        then: impl FnOnce(),
    ) -> Vec<Result<Answer, BackendError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let [there, back] = [0, 1].map(|way: usize| self.ways[way].load(Ordering::SeqCst));
        self.clock.sleep(Duration::from_micros(there)).await;
        if self.fails.load(Ordering::SeqCst) {
            let down = || Err(BackendError::not_executed("it is down"));
            return batch.iter().map(|_| down()).collect();
        }
        then();
        let answers = self.store.apply(batch).await;
        self.clock.sleep(Duration::from_micros(back)).await;
        answers
    }

    /// What it would answer now. Nobody travels for that.
    pub fn peek(&self, policy: &Policy, subject: &str, cost: u32) -> Verdict {
        let operation = Operation::peek(Check::new(policy, subject, cost));
        match self.store.apply_now(&operation) {
            Some(Ok(Answer::Verdict(verdict))) => verdict,
            other => panic!("{other:?}"),
        }
    }
}

impl Backend for FarStore {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        self.apply_then(batch, || ()).await
    }
}

/// A limiter on `backend`, a way to a far store, that gives it as long as it takes. It is the only
/// instance: a policy that its program declares may ask how many there are.
pub fn limiter_on(backend: impl Backend, clock: &ManualClock) -> LimiterBuilder {
    let builder = Limiter::builder(backend).clock(clock.clone()).instances(1);
    builder.deadline(Duration::MAX).breaker(None)
}

/// Lets all go on that can.
pub async fn settle() {
    for _ in 0..12 {
        tokio::task::yield_now().await;
    }
}
