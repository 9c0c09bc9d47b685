//! Decisions that are refunded at another limiter than the one that made them.

use std::sync::Arc;
use std::time::Duration;

use tollgate::backend::{Answer, BackendInfo, Operation};
use tollgate::testing::ManualClock;
use tollgate::{
    Algorithm, Backend, BackendError, Decision, Limiter, LocalTier, MemoryBackend, OnError, Policy,
    Quota, Source,
};

const MINUTE: Duration = Duration::from_secs(60);

fn memory(clock: &ManualClock) -> MemoryBackend {
    MemoryBackend::builder().clock(clock.clone()).build()
}

fn policy(algorithm: Algorithm) -> Policy {
    Policy::new("p", Quota::new(10, MINUTE)).algorithm(algorithm)
}

async fn spend(limiter: &Limiter, policy: &Policy) -> Vec<Decision> {
    let mut decisions = Vec::new();
    loop {
        let decision = limiter.check(policy, "s").await.unwrap();
        if !decision.is_allowed() {
            return decisions;
        }
        decisions.push(decision);
    }
}

async fn remaining(limiter: &Limiter, policy: &Policy) -> u32 {
    limiter.peek(policy, "s", 0).await.unwrap().remaining()
}

#[tokio::test]
async fn a_decision_of_another_memory_is_not_refunded() {
    for &algorithm in Algorithm::ALL {
        let clock = ManualClock::new();
        let [one, other] = [0, 1].map(|_| Limiter::new(memory(&clock)));
        let policy = policy(algorithm);
        let decisions = spend(&one, &policy).await;
        assert_eq!((decisions.len(), spend(&other, &policy).await.len()), (10, 10));
        for decision in decisions {
            assert!(!other.refund(decision).await.unwrap(), "{algorithm:?}");
        }
        assert_eq!(remaining(&other, &policy).await, 0, "{algorithm:?}");
        assert_eq!(remaining(&one, &policy).await, 0, "{algorithm:?}");
    }
}

#[tokio::test]
async fn limiters_of_one_memory_refund_for_each_other() {
    for &algorithm in Algorithm::ALL {
        let clock = ManualClock::new();
        let shared = Arc::new(memory(&clock));
        let [one, other] = [0, 1].map(|_| Limiter::new(Arc::clone(&shared)));
        let wrapped = Limiter::new(Arc::new(Arc::clone(&shared)));
        let policy = policy(algorithm);
        for (limiter, decision) in
            [&other, &wrapped, &one.clone()].into_iter().cycle().zip(spend(&one, &policy).await)
        {
            assert!(limiter.refund(decision).await.unwrap(), "{algorithm:?}");
        }
        assert_eq!(remaining(&other, &policy).await, 10, "{algorithm:?}");
    }
}

/// A store that is down or well, and that several limiters reach.
#[derive(Clone)]
struct Reached {
    memory: Arc<MemoryBackend>,
    is_down: Arc<std::sync::atomic::AtomicBool>,
}

impl Backend for Reached {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        if self.is_down.load(std::sync::atomic::Ordering::SeqCst) {
            return batch.iter().map(|_| Err(BackendError::not_executed("down"))).collect();
        }
        self.memory.apply(batch).await
    }

    fn info(&self) -> BackendInfo {
        BackendInfo::default().identity(format!("{:p}", Arc::as_ptr(&self.memory)))
    }
}

/// A way to a memory, which may say where that is.
struct Way {
    memory: Arc<MemoryBackend>,
    place: Option<&'static str>,
}

impl Backend for Way {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        self.memory.apply(batch).await
    }

    fn info(&self) -> BackendInfo {
        let info = BackendInfo::default();
        self.place.into_iter().fold(info, BackendInfo::identity)
    }
}

/// Such a way, by another type.
struct OtherWay(Way);

impl Backend for OtherWay {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        self.0.apply(batch).await
    }

    fn info(&self) -> BackendInfo {
        self.0.info()
    }
}

fn limiter(backend: impl Backend) -> Limiter {
    // A policy that the program declares asks how many instances there are.
    Limiter::builder(backend).instances(1).build()
}

/// A backend of another crate is known by itself, or by the text that it and others have.
#[tokio::test]
async fn backends_of_other_crates_are_told_apart() {
    let clock = ManualClock::new();
    let memory = Arc::new(memory(&clock));
    let way = |place| Way { memory: Arc::clone(&memory), place };
    let shared = Arc::new(way(None));
    let limiters = [
        ("itself", limiter(Arc::clone(&shared))),
        ("itself, once more", limiter(Arc::new(Arc::clone(&shared)))),
        ("another one", limiter(way(None))),
        ("yet another one", limiter(way(None))),
        ("one with a text", limiter(way(Some("a")))),
        ("one with the same text", limiter(way(Some("a")))),
        ("one with another text", limiter(way(Some("b")))),
        ("another type with a text", limiter(OtherWay(way(Some("a"))))),
    ];
    let alike = |one: usize, other: usize| one / 2 == other / 2 && one < 6 && one / 2 != 1;
    let policy = policy(Algorithm::SlidingWindow);
    for (index, (name, limiter)) in limiters.iter().enumerate() {
        for (other, (by, refunding)) in limiters.iter().enumerate() {
            let decision = limiter.check(&policy, "s").await.unwrap();
            let refunded = refunding.refund(decision).await.unwrap();
            assert_eq!(refunded, index == other || alike(index, other), "{name}, by {by}");
            limiter.reset(&policy, "s").await.unwrap();
        }
    }
}

/// A backend that comes where another one was is not that one.
#[tokio::test]
async fn a_backend_that_is_gone_is_no_other() {
    let clock = ManualClock::new();
    let memory = Arc::new(memory(&clock));
    let policy = policy(Algorithm::SlidingWindow);
    let limiter = || limiter(Way { memory: Arc::clone(&memory), place: None });
    for _ in 0..5 {
        let decision = limiter().check(&policy, "s").await.unwrap();
        assert!(!limiter().refund(decision).await.unwrap());
    }
    assert_eq!(remaining(&limiter(), &policy).await, 5);
}

/// What a limiter decided itself, or noted for an outage, is refunded by no other limiter.
#[tokio::test]
async fn what_one_limiter_decided_alone_is_not_refunded_by_another() {
    for &algorithm in Algorithm::ALL {
        let clock = ManualClock::new();
        let store = Reached { memory: Arc::new(memory(&clock)), is_down: Arc::default() };
        let [one, other] = [0, 1].map(|_| {
            let builder = Limiter::builder(store.clone()).clock(clock.clone()).instances(2);
            let builder = builder.breaker(None).local_tier(LocalTier::none());
            builder.on_error(OnError::Local).build()
        });
        let policy = policy(algorithm);
        let noted = one.check(&policy, "s").await.unwrap();
        let _ = other.check(&policy, "s").await.unwrap();
        assert!(other.refund(noted).await.unwrap(), "the store is the same");
        store.is_down.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(remaining(&other, &policy).await, 4, "{algorithm:?}: its own charge is noted");
        let decisions = spend(&one, &policy).await;
        assert_eq!(spend(&other, &policy).await.len(), 4);
        for decision in decisions {
            assert_eq!(decision.source(), Source::Local);
            assert!(!other.refund(decision).await.unwrap(), "{algorithm:?}");
        }
        assert_eq!(remaining(&other, &policy).await, 0, "{algorithm:?}");
    }
}
