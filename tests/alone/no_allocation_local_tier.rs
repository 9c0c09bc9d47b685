//! What the local tier answers by itself, it answers without allocating. Only the copy of a long
//! subject allocates, which is the receipt for a refund.

use std::time::Duration;

use support::far::{FarStore, limiter_on};
use tollgate::{LocalTier, Policy, Quota};

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
            // Says if it is admitted, and if that was decided here.
            let ask = async |policy: &Policy| {
                let calls = store.calls();
                let decision = limiter.check(policy, subject).await.unwrap();
                (decision.is_allowed(), store.calls() == calls)
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
            // A subject of up to 23 bytes is copied without an allocation.
            let copies = if subject.len() > 23 { 25 } else { 0 };
            assert_eq!((leased, refused.await), (copies, 0), "{subject}, several: {several}");
            limiter.reset(&hot, subject).await.unwrap();
            limiter.reset(&strict, subject).await.unwrap();
        }
    }
}
