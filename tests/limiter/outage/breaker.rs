//! The circuit breaker, as callers see it. Its states have a table of their own, beside them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tollgate::backend::Answer;
use tollgate::backend::Operation;
use tollgate::stats::BreakerState;
use tollgate::testing::ManualClock;
use tollgate::{Backend, BackendError, CircuitBreaker, Limiter};
use tollgate::{MemoryBackend, Policy, Quota};

use super::store::{Health, Store};
use support::log::Log;

const POLICY: Policy = Policy::new("p", Quota::new(1_000_000, Duration::from_secs(60)));
const LONG: Duration = Duration::from_secs(60);

fn limiter(breaker: impl Into<Option<CircuitBreaker>>) -> (Limiter, Store, ManualClock) {
    let clock = ManualClock::new();
    let store = Store::new(&clock);
    let builder = Limiter::builder(store.clone()).clock(clock.clone()).instances(1);
    let limiter = builder.breaker(breaker).build();
    (limiter, store, clock)
}

fn state(limiter: &Limiter) -> BreakerState {
    limiter.stats().breaker.unwrap().state
}

async fn opened() -> (Limiter, Store, ManualClock) {
    let (limiter, store, clock) = limiter(CircuitBreaker::new());
    store.is(Health::Down);
    for number in 0..5 {
        assert_eq!(state(&limiter), BreakerState::Closed, "after {number} failures");
        assert!(limiter.check(&POLICY, "s").await.is_err());
    }
    assert_eq!(state(&limiter), BreakerState::Open);
    (limiter, store, clock)
}

#[tokio::test]
async fn an_open_breaker_spares_the_store() {
    let (limiter, store, clock) = opened().await;
    for _ in 0..1_000 {
        assert!(limiter.check(&POLICY, "s").await.is_err());
        assert!(limiter.check_now(&POLICY, "s", 1).unwrap().is_err(), "that takes no waiting");
        assert!(limiter.peek(&POLICY, "s", 1).await.is_err());
        assert!(limiter.reset(&POLICY, "s").await.is_err());
    }
    assert_eq!(store.calls(), 5);
    assert_eq!(limiter.stats().breaker.unwrap().rejected, 4_000);
    store.is(Health::Well);
    clock.advance(LONG);
    assert!(limiter.check_now(&POLICY, "s", 1).is_none(), "the probe has to be waited for");
    assert!(limiter.check(&POLICY, "s").await.unwrap().is_allowed());
    assert_eq!(state(&limiter), BreakerState::Closed);
}

/// Real threads, for it is they who would all get through a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_callers_at_half_open_make_one_probe() {
    let (limiter, store, clock) = opened().await;
    for round in 1..=support::scaled(5, 100) {
        store.is(Health::Hangs);
        clock.advance(LONG);
        let before = store.calls();
        let barrier = Arc::new(Barrier::new(1_001));
        let callers: JoinSet<bool> = (0..1_000)
            .map(|_| {
                let (limiter, barrier) = (limiter.clone(), Arc::clone(&barrier));
                async move {
                    barrier.wait().await;
                    limiter.check(&POLICY, "s").await.is_ok()
                }
            })
            .collect();
        barrier.wait().await;
        let rejected = || limiter.stats().breaker.unwrap().rejected;
        let asked = || store.calls() - before;
        while rejected() < u64::from(round) * 999 && asked() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(state(&limiter), BreakerState::HalfOpen);
        store.is(Health::Down);
        assert!(!callers.join_all().await.into_iter().any(|is_ok| is_ok));
        assert_eq!(asked(), 1);
        assert_eq!(limiter.stats().breaker.unwrap().probes, u64::from(round));
    }
}

#[tokio::test]
async fn a_probe_that_is_cancelled_leaves_the_way_to_the_next() {
    let (limiter, store, clock) = opened().await;
    for _ in 0..3 {
        store.is(Health::Hangs);
        clock.advance(LONG);
        let probe = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.check(&POLICY, "s").await.is_ok() }
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(state(&limiter), BreakerState::HalfOpen);
        probe.abort();
        let _ = probe.await;
        assert_eq!(state(&limiter), BreakerState::Open);
    }
    store.is(Health::Well);
    clock.advance(LONG);
    assert!(limiter.check(&POLICY, "s").await.unwrap().is_allowed());
}

#[tokio::test]
async fn what_is_not_the_stores_fault_does_not_open_it() {
    let (limiter, store, _clock) = limiter(CircuitBreaker::new().failure_threshold(1));
    // A burst without a bucket.
    let odd = Policy::new("odd", Quota::new(10, LONG).burst(20));
    for _ in 0..10 {
        assert!(limiter.check(&odd, "s").await.is_err());
    }
    store.is(Health::Picky);
    for _ in 0..10 {
        assert!(limiter.check(&POLICY, "s").await.is_err());
    }
    assert_eq!(state(&limiter), BreakerState::Closed);
    store.is(Health::Well);
    let small = Policy::new("small", Quota::new(1, LONG));
    for number in 0..10 {
        let decision = limiter.check(&small, "s").await.unwrap();
        assert_eq!(decision.is_allowed(), number == 0, "a refusal is an answer");
    }
    assert_eq!(state(&limiter), BreakerState::Closed);
}

#[tokio::test]
async fn clients_are_told_to_come_back_when_the_store_is_tried() {
    let breaker = CircuitBreaker::new().failure_threshold(1).reset_timeout(Duration::from_secs(40));
    let (limiter, store, clock) = limiter(breaker);
    store.is(Health::Down);
    assert!(limiter.check(&POLICY, "s").await.is_err());
    let told = limiter.check(&POLICY, "s").await.unwrap_err().retry_after();
    assert!(told >= Duration::from_secs(20) && told <= Duration::from_secs(40), "{told:?}");
    clock.advance(told - Duration::from_millis(1));
    let told = limiter.check(&POLICY, "s").await.unwrap_err().retry_after();
    assert_eq!(told, Duration::from_secs(1), "at least that");
    store.is(Health::Well);
    clock.advance(told);
    assert!(limiter.check(&POLICY, "s").await.is_ok());
}

#[tokio::test]
async fn an_outage_is_logged_once() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    let (limiter, store, clock) = opened().await;
    for _ in 0..5 {
        clock.advance(LONG);
        for _ in 0..20 {
            assert!(limiter.check(&POLICY, "s").await.is_err());
        }
    }
    store.is(Health::Well);
    clock.advance(LONG);
    for _ in 0..20 {
        assert!(limiter.check(&POLICY, "s").await.is_ok());
    }
    let log = log.text();
    let lines: Vec<&str> = log.lines().collect();
    // The first failure and the breaker; the first answer and the breaker.
    assert_eq!(lines.len(), 4, "{log}");
    for (line, part) in lines.iter().zip(["fails", "has opened", "has closed", "answers again"]) {
        assert!(line.contains(part), "{line}");
    }
}

/// A function that is not async can be the probe, if the store can answer it.
#[test]
fn who_cannot_wait_can_try() {
    let clock = ManualClock::new();
    let health = Arc::new(Mutex::new(Health::Down));
    let memory = MemoryBackend::builder().clock(clock.clone()).build();
    let store = Sync { memory, health: Arc::clone(&health) };
    let limiter = Limiter::builder(store).clock(clock.clone()).instances(1).build();
    for _ in 0..10 {
        assert!(limiter.check_now(&POLICY, "s", 1).unwrap().is_err());
    }
    assert_eq!(state(&limiter), BreakerState::Open);
    *health.lock().unwrap() = Health::Well;
    clock.advance(LONG);
    assert!(limiter.check_now(&POLICY, "s", 1).unwrap().unwrap().is_allowed());
    assert_eq!(state(&limiter), BreakerState::Closed);
}

/// A store that answers without waiting, and may fail.
struct Sync {
    memory: MemoryBackend,
    health: Arc<Mutex<Health>>,
}

impl Backend for Sync {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        batch.iter().map(|operation| self.apply_now(operation).unwrap()).collect()
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        match *self.health.lock().unwrap() {
            Health::Well => self.memory.apply_now(operation),
            _ => Some(Err(BackendError::not_executed("the disk is full"))),
        }
    }
}

#[tokio::test]
async fn there_need_be_none() {
    let (limiter, store, _clock) = limiter(None);
    store.is(Health::Down);
    for _ in 0..50 {
        assert!(limiter.check(&POLICY, "s").await.is_err());
    }
    assert_eq!(store.calls(), 50);
    assert!(limiter.stats().breaker.is_none());
    // Memory does not fail.
    assert!(Limiter::new(MemoryBackend::new()).stats().breaker.is_none());
}
