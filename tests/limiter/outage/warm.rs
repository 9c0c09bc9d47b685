//! The local counts when an outage begins, if the answers of the store have taken a while.

use std::time::Duration;

use tollgate::{OnError, Policy, Quota, Source};

use support::far::{FarStore, limiter_on, settle};

const PERIOD: Duration = Duration::from_secs(10);

/// A burst comes again each period. The store admits it when the one before has left; here, that one is
/// in use for as long again as its answers took, and the share of each instance is used up by it. Once
/// the second burst was not counted for that, and the outage began as if nobody had come.
#[tokio::test]
async fn what_the_store_admits_is_counted_when_the_share_is_used_up() {
    let store = FarStore::new();
    let limiter = || {
        let builder = limiter_on(store.clone(), &store.clock);
        builder.instances(2).on_error(OnError::Local).build()
    };
    let (limiters, policy) = ([limiter(), limiter()], Policy::new("p", Quota::new(2, PERIOD)));
    let way = Duration::from_millis(1);
    store.set_ways([0, 1_000]);
    for limiter in limiters.clone() {
        let policy = policy.clone();
        let check = tokio::spawn(async move { limiter.check(&policy, "s").await.unwrap() });
        settle().await;
        store.clock.advance(way);
        assert!(check.await.unwrap().is_allowed());
    }
    store.set_ways([0, 0]);
    store.clock.advance(PERIOD - way * 2);
    for limiter in &limiters {
        let decision = limiter.check(&policy, "s").await.unwrap();
        assert_eq!((decision.is_allowed(), decision.source()), (true, Source::Store));
        store.clock.advance(way);
    }
    store.set_fails(true);
    store.clock.advance(way);
    // Each has had its share, so the window may hold L + n − 1 of them, and one at most is let in.
    let mut more = 0;
    for limiter in &limiters {
        let decision = limiter.check(&policy, "s").await.unwrap();
        assert_eq!(decision.source(), Source::Local);
        more += u32::from(decision.is_allowed());
    }
    assert!(more <= 1, "{more} more");
}
