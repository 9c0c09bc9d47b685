//! What the local tier answers by itself, it answers without allocating.

use std::time::Duration;

use support::far::{FarStore, limiter_on};
use tollgate::__private::decide;
use tollgate::{Check, LocalTier, Outcome, Policy, Quota};

/// As many allocations as there are while `checks` run.
async fn allocations(checks: impl Future<Output = ()>) -> u64 {
    let before = dhat::HeapStats::get().total_blocks;
    checks.await;
    dhat::HeapStats::get().total_blocks - before
}

#[tokio::test]
async fn hits_allocate_nothing() {
    if support::is_left_to_a_process_of_its_own(module_path!(), "hits_allocate_nothing") {
        return;
    }
    let _profiler = dhat::Profiler::builder().testing().build();
    // It can count.
    let boxed = allocations(async { drop(std::hint::black_box(Box::new(1))) });
    assert_eq!(boxed.await, 1);
    let hour = Duration::from_secs(3_600);
    let store = FarStore::new();
    let tier = LocalTier::deny_cache().lease(40);
    let limiter = limiter_on(store.clone(), &store.clock).local_tier(tier).build();
    for several in [false, true] {
        // One subject that fits where its text is kept, and one that does not.
        for subject in ["192.0.2.1", "a subject that is longer than most of them are"] {
            let policy = |name: &str, limit| {
                let policy = Policy::named(name, Quota::new(limit, hour));
                if several { policy.and(Quota::new(limit, hour * 2)) } else { policy }
            };
            let (hot, strict) = (policy("hot", 100_000), policy("strict", 1));
            // Asks as generated code does, and says whether it is admitted, and here.
            let ask = async |policy: &Policy| {
                let calls = store.calls();
                let outcome = decide(&limiter, &Check::new(policy, subject, 1)).await.unwrap();
                (outcome == Outcome::Allowed, store.calls() == calls)
            };
            for _ in 0..200 {
                ask(&hot).await;
            }
            while ask(&hot).await != (true, false) {}
            let leased = allocations(async {
                for _ in 0..25 {
                    assert_eq!(ask(&hot).await, (true, true));
                }
            });
            let leased = leased.await;
            while ask(&strict).await != (false, true) {}
            let refused = allocations(async {
                for _ in 0..25 {
                    assert_eq!(ask(&strict).await, (false, true));
                }
            });
            assert_eq!((leased, refused.await), (0, 0), "{subject}, several: {several}");
            limiter.reset(&hot, subject).await.unwrap();
            limiter.reset(&strict, subject).await.unwrap();
        }
    }
}
