//! What the local tier answers by itself, it answers without allocating. Only the copy of a long
//! subject allocates, which is the receipt for a refund.

use std::time::Duration;

use support::far::{FarStore, limiter_on};
use tollgate::{LocalTier, Policy, Quota};

use crate::allocations;

#[test]
fn hits_allocate_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
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
            let ask = |policy: &Policy| {
                let calls = store.calls();
                let decision = runtime.block_on(limiter.check(policy, subject)).unwrap();
                (decision.is_allowed(), store.calls() == calls)
            };
            (0..200).for_each(|_| _ = ask(&hot));
            while ask(&hot) != (true, false) {}
            let leased = allocations(|| (0..25).for_each(|_| assert_eq!(ask(&hot), (true, true))));
            while ask(&strict) != (false, true) {}
            let refused =
                allocations(|| (0..25).for_each(|_| assert_eq!(ask(&strict), (false, true))));
            // A subject of up to 23 bytes is copied without an allocation.
            let copies = if subject.len() > 23 { 25 } else { 0 };
            assert_eq!((leased, refused), (copies, 0), "{subject}, several: {several}");
            runtime.block_on(limiter.reset(&hot, subject)).unwrap();
            runtime.block_on(limiter.reset(&strict, subject)).unwrap();
        }
    }
}
