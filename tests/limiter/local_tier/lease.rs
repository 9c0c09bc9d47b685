//! Leases: few journeys, nothing spent that was not charged, nothing left behind.

use std::time::Duration;

use tokio::task::JoinSet;
use tollgate::{Algorithm, Limiter, LocalTier, Policy, Quota, Source};

use support::far::{FarStore, limiter_on, settle};
use support::scaled;

const HOUR: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);
const MAX: u32 = 50;

fn limiter(store: &FarStore) -> Limiter {
    let tier = LocalTier::deny_cache().lease(MAX);
    limiter_on(store.clone(), &store.clock).local_tier(tier).build()
}

fn policy(limit: u32) -> Policy {
    Policy::new("p", Quota::new(limit, HOUR))
}

/// What is in use at the store.
fn used(store: &FarStore, policy: &Policy, subject: &str) -> u32 {
    policy.quotas()[0].limit() - store.peek(policy, subject, 0).quotas()[0].remaining()
}

/// Charges so many units, one after the other, and says how many were admitted.
async fn spend(limiter: &Limiter, policy: &Policy, subject: &str, times: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..times {
        admitted += u32::from(limiter.check(policy, subject).await.unwrap().is_allowed());
    }
    admitted
}

#[tokio::test]
async fn a_hot_key_takes_a_journey_now_and_then() {
    let (store, checks) = (FarStore::new(), scaled(20_000, 1_000_000));
    let (limiter, policy) = (limiter(&store), Policy::new("p", Quota::new(10_000_000, HOUR)));
    for _ in 0..checks {
        let decision = limiter.check(&policy, "s").await.unwrap();
        assert!(decision.is_allowed());
        store.clock.advance(Duration::from_micros(200));
    }
    let share = store.calls() as f64 / f64::from(checks);
    println!("one after the other: {share:.4} journeys a check");
    assert!(share <= 0.1, "{share}");
}

#[tokio::test]
async fn many_at_once_share_what_one_brings() {
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), Policy::new("p", Quota::new(10_000_000, HOUR)));
    store.set_ways([300, 300]);
    let each = scaled(200, 10_000);
    let mut tasks = JoinSet::new();
    for _ in 0..40 {
        let (limiter, policy) = (limiter.clone(), policy.clone());
        tasks.spawn(async move {
            assert_eq!(spend_with_pauses(&limiter, &policy, each).await, each);
        });
    }
    while !tasks.is_empty() {
        settle().await;
        store.clock.advance(Duration::from_micros(50));
        while let Some(done) = tasks.try_join_next() {
            done.unwrap();
        }
    }
    let share = store.calls() as f64 / f64::from(40 * each);
    println!("40 at once: {share:.4} journeys a check");
    assert!(share <= 0.1, "{share}");
}

async fn spend_with_pauses(limiter: &Limiter, policy: &Policy, times: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..times {
        admitted += spend(limiter, policy, "s", 1).await;
        tokio::task::yield_now().await;
    }
    admitted
}

#[tokio::test]
async fn a_cold_key_leases_nothing() {
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), policy(100_000));
    for check in 1..=1_000 {
        let decision = limiter.check(&policy, "s").await.unwrap();
        assert_eq!(decision.source(), Source::Store);
        assert_eq!((store.calls(), used(&store, &policy, "s")), (check.into(), check));
        // Three in the time for which a lease is held.
        store.clock.advance(SECOND / 3 + Duration::from_micros(1));
    }
}

#[tokio::test]
async fn a_leased_decision_says_what_one_of_the_store_would() {
    let (store, alone) = (FarStore::new(), FarStore::new());
    for &algorithm in Algorithm::ALL {
        let policy = policy(1_000).and(Quota::new(2_000, HOUR * 2)).algorithm(algorithm);
        let subject = algorithm.as_str();
        let plain = Limiter::builder(alone.clone()).local_tier(LocalTier::none());
        let plain = plain.instances(1).build();
        let limiter = limiter(&store);
        let mut leased = 0;
        for check in 0..1_010 {
            let decision = limiter.check(&policy, subject).await.unwrap();
            let plain = plain.check(&policy, subject).await.unwrap();
            leased += u32::from(decision.source() == Source::Lease);
            assert_eq!(decision.outcome(), plain.outcome(), "{algorithm:?} {check}");
            assert_eq!(decision.remaining(), plain.remaining(), "{algorithm:?} {check}");
            assert_eq!(decision.quotas()[1].remaining(), plain.quotas()[1].remaining());
        }
        assert!(leased > 800, "{leased}");
    }
}

#[tokio::test]
async fn the_last_stretch_is_exact() {
    for instances in [1, 3, 8] {
        let store = FarStore::new();
        let (policy, limit) = (policy(1_000), 1_000);
        let limiters: Vec<Limiter> = (0..instances).map(|_| limiter(&store)).collect();
        let mut admitted = 0;
        for check in 0..2 * limit {
            admitted += spend(&limiters[check as usize % instances], &policy, "s", 1).await;
        }
        assert_eq!(admitted, limit, "{instances} instances");
        assert_eq!(used(&store, &policy, "s"), limit);
    }
}

#[tokio::test]
async fn a_lease_takes_a_quarter_of_what_remains_and_nothing_at_the_end() {
    let store = FarStore::new();
    let (limiter, limit) = (limiter(&store), 300);
    let policy = policy(limit);
    for check in 1..=limit {
        let before = limit - used(&store, &policy, "s");
        let decision = limiter.check(&policy, "s").await.unwrap();
        let taken = before + used(&store, &policy, "s") - limit;
        assert!(taken <= (before / 4).max(1), "{taken} of {before}");
        // The last of a lease are spent when less than eight remain.
        let at_the_end = check > limit - 7;
        assert!(!at_the_end || decision.source() == Source::Store, "{check}");
    }
}

#[tokio::test]
async fn what_is_not_spent_comes_back_when_its_time_is_over() {
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), policy(10_000));
    // Where a lease has just been begun.
    let spent = spend_until_leased(&store, &limiter, &policy).await;
    let idle = used(&store, &policy, "s") - spent;
    assert!(idle > 0 && idle < MAX, "{idle}");
    store.clock.advance(SECOND - Duration::from_micros(1));
    settle().await;
    assert_eq!(used(&store, &policy, "s"), spent + idle);
    store.clock.advance(Duration::from_micros(1));
    settle().await;
    assert_eq!(used(&store, &policy, "s"), spent);
    // Nor is it spent afterwards.
    let before = store.calls();
    assert_eq!(limiter.check(&policy, "s").await.unwrap().source(), Source::Store);
    assert_eq!(store.calls(), before + 1);
}

/// Charges until most of a lease is there; says how many.
async fn spend_until_leased(store: &FarStore, limiter: &Limiter, policy: &Policy) -> u32 {
    let mut spent = 0;
    while used(store, policy, "s") < spent + MAX / 2 {
        assert_eq!(spend(limiter, policy, "s", 1).await, 1);
        spent += 1;
    }
    spent
}

#[tokio::test]
async fn a_stopped_process_spends_nothing_that_is_over() {
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), policy(10_000));
    let _ = spend_until_leased(&store, &limiter, &policy).await;
    // Nothing runs meanwhile, not even what would give it back.
    store.clock.advance(SECOND * 60);
    let checked = limiter.check_now(&policy, "s", 1);
    assert!(checked.is_none(), "{checked:?}");
}

#[tokio::test]
async fn closing_gives_back_what_is_leased_and_on_its_way() {
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), policy(10_000));
    let mut spent = spend_until_leased(&store, &limiter, &policy).await;
    // Until the next one is on its way.
    store.set_ways([10, 10]);
    let on_its_way = loop {
        let before = store.calls();
        let (limiter, policy) = (limiter.clone(), policy.clone());
        let check = tokio::spawn(async move { spend(&limiter, &policy, "s", 1).await });
        settle().await;
        spent += 1;
        if store.calls() > before {
            break check;
        }
    };
    let closing = tokio::spawn(async move { limiter.close().await });
    for _ in 0..10 {
        settle().await;
        store.clock.advance(Duration::from_micros(5));
    }
    closing.await.unwrap();
    assert_eq!(on_its_way.await.unwrap(), 1);
    assert_eq!(used(&store, &policy, "s"), spent);
}

#[tokio::test]
async fn a_check_given_up_leaves_what_it_brings_to_others() {
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), policy(10_000));
    assert_eq!(spend(&limiter, &policy, "s", 20).await, 20);
    store.set_ways([10, 10]);
    loop {
        let before = store.calls();
        let check = {
            let (limiter, policy) = (limiter.clone(), policy.clone());
            tokio::spawn(async move { spend(&limiter, &policy, "s", 1).await })
        };
        settle().await;
        if store.calls() > before {
            check.abort();
            break;
        }
    }
    for _ in 0..2 {
        store.clock.advance(Duration::from_micros(10));
        settle().await;
    }
    let decision = limiter.check_now(&policy, "s", 1).unwrap().unwrap();
    assert_eq!(decision.source(), Source::Lease);
}

/// As in tests, or where each thread has its own.
#[test]
fn a_runtime_that_ends_leaves_the_next_one_all_it_needs() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), policy(10_000));
    let (first, second) = (runtime(), runtime());
    let mut spent = first.block_on(spend_until_leased(&store, &limiter, &policy));
    while let Some(decision) = limiter.check_now(&policy, "s", 1) {
        assert!(decision.unwrap().is_allowed());
        spent += 1;
    }
    // The next lease is on its way, and so is somebody who waits for it.
    store.set_ways([0, 10]);
    for _ in 0..2 {
        let (limiter, policy) = (limiter.clone(), policy.clone());
        first.spawn(async move { limiter.check(&policy, "s").await.is_ok() });
    }
    first.block_on(settle());
    let lost = used(&store, &policy, "s") - spent;
    assert!(lost > 1, "{lost}");
    drop(first);
    store.set_ways([0, 0]);
    second.block_on(async {
        spent += spend(&limiter, &policy, "s", 100).await;
        assert!(limiter.check_now(&policy, "s", 1).is_some());
        spent += 1;
        store.clock.advance(SECOND);
        settle().await;
        assert_eq!(used(&store, &policy, "s"), spent + lost);
    });
}

/// Those who wait for one journey are told of its failure, and do not set out themselves.
#[tokio::test]
async fn who_waits_for_permits_fails_with_who_brings_them() {
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), policy(10_000));
    assert_eq!(spend(&limiter, &policy, "s", 200).await, 200);
    while limiter.check_now(&policy, "s", 1).is_some() {}
    store.set_fails(true);
    store.set_ways([10, 10]);
    let calls = store.calls();
    let mut checks = JoinSet::new();
    for _ in 0..30 {
        let (limiter, policy) = (limiter.clone(), policy.clone());
        checks.spawn(async move { limiter.check(&policy, "s").await.is_err() });
        settle().await;
    }
    store.clock.advance(Duration::from_micros(10));
    assert_eq!(checks.join_all().await, [true; 30]);
    assert_eq!(store.calls() - calls, 1);
    // And when it is back, so are they.
    store.set_fails(false);
    store.set_ways([0, 0]);
    assert_eq!(spend(&limiter, &policy, "s", 50).await, 50);
}

#[tokio::test]
async fn a_reset_forgets_what_is_leased() {
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), policy(1_000));
    let _ = spend_until_leased(&store, &limiter, &policy).await;
    limiter.reset(&policy, "s").await.unwrap();
    assert_eq!(used(&store, &policy, "s"), 0);
    assert_eq!(spend(&limiter, &policy, "s", 1_100).await, 1_000);
    assert_eq!(used(&store, &policy, "s"), 1_000);
}

#[tokio::test]
async fn a_reset_forgets_what_is_on_its_way() {
    for &algorithm in Algorithm::ALL {
        let store = FarStore::new();
        let (limiter, policy) = (limiter(&store), policy(1_000).algorithm(algorithm));
        assert_eq!(spend(&limiter, &policy, "s", 40).await, 40);
        while limiter.check_now(&policy, "s", 1).is_some() {}
        // A lease that is charged before the reset, and comes after it.
        store.set_ways([0, 1_000]);
        let before = used(&store, &policy, "s");
        let check = {
            let (limiter, policy) = (limiter.clone(), policy.clone());
            tokio::spawn(async move { spend(&limiter, &policy, "s", 1).await })
        };
        settle().await;
        assert!(used(&store, &policy, "s") > before + 1);
        store.set_ways([0, 0]);
        limiter.reset(&policy, "s").await.unwrap();
        // What others have charged since then is not given back for it.
        let other = self::limiter(&store);
        assert!(other.check_cost(&policy, "s", 30).await.unwrap().is_allowed());
        store.clock.advance(Duration::from_micros(1_000));
        settle().await;
        assert_eq!(check.await.unwrap(), 1);
        assert_eq!(used(&store, &policy, "s"), 30, "{algorithm:?}");
        assert_eq!(spend(&limiter, &policy, "s", 1_100).await, 970, "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_refund_goes_back_into_the_lease_or_to_the_store() {
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), policy(10_000));
    let spent = spend_until_leased(&store, &limiter, &policy).await;
    let decisions =
        [limiter.check(&policy, "s").await.unwrap(), limiter.check(&policy, "s").await.unwrap()];
    let (calls, [first, second]) = (store.calls(), decisions);
    assert_eq!([first.source(), second.source()], [Source::Lease; 2]);
    let remaining = second.remaining();
    assert!(limiter.refund(first).await.unwrap());
    assert_eq!(store.calls(), calls);
    assert_eq!(limiter.check(&policy, "s").await.unwrap().remaining(), remaining);
    // The lease is over, and its charge is still there.
    store.clock.advance(SECOND);
    settle().await;
    assert_eq!(used(&store, &policy, "s"), spent + 2);
    assert!(limiter.refund(second).await.unwrap());
    assert_eq!(used(&store, &policy, "s"), spent + 1);
}

#[tokio::test]
async fn another_form_of_the_policy_spends_nothing_of_the_first() {
    let store = FarStore::new();
    let (limiter, loose, strict) = (limiter(&store), policy(10_000), policy(40));
    let spent = spend_until_leased(&store, &limiter, &loose).await;
    assert!(spent > 40);
    assert!(!limiter.check(&strict, "s").await.unwrap().is_allowed());
    settle().await;
    assert_eq!(used(&store, &loose, "s"), spent);
}

#[tokio::test]
async fn a_policy_may_lease_less_or_nothing() {
    let store = FarStore::new();
    let limiter = limiter(&store);
    for (name, max) in [("none", 0), ("few", 3)] {
        let policy = Policy::new(name, Quota::new(100_000, HOUR)).lease(max);
        for check in 1..=500 {
            assert_eq!(spend(&limiter, &policy, "s", 1).await, 1);
            let idle = used(&store, &policy, "s") - check;
            assert!(idle == 0 || idle < max, "{name}: {idle}");
        }
    }
}

#[tokio::test]
async fn costs_are_taken_whole() {
    for cost in [2, 7, 30, 60] {
        let store = FarStore::new();
        let (limiter, policy) = (limiter(&store), policy(10_000));
        for _ in 0..100 {
            assert!(limiter.check_cost(&policy, "s", cost).await.unwrap().is_allowed());
        }
        println!("cost {cost}: {} calls", store.calls());
        store.clock.advance(SECOND);
        settle().await;
        assert_eq!(used(&store, &policy, "s"), 100 * cost);
    }
}

/// The worst that can happen to a window: leases from before it, spent in it at the last moment,
/// and then all that their charges leave room for.
#[tokio::test]
async fn a_window_holds_a_lease_of_each_instance_beyond_the_bound_at_worst() {
    let store = FarStore::new();
    let instances: Vec<Limiter> = (0..3).map(|_| limiter(&store)).collect();
    let (limit, period) = (1_000, SECOND * 10);
    let policy = Policy::new("p", Quota::new(limit, period));
    for limiter in &instances {
        assert_eq!(spend(limiter, &policy, "s", 60).await, 60);
    }
    let idle = used(&store, &policy, "s") - 180;
    store.clock.advance(SECOND - Duration::from_micros(1));
    let mut late = 0;
    for limiter in &instances {
        while let Some(decision) = limiter.check_now(&policy, "s", 1) {
            assert!(decision.unwrap().is_allowed());
            late += 1;
        }
    }
    assert_eq!(late, idle);
    store.clock.advance(period - SECOND + Duration::from_micros(1));
    let inside = late + spend(&instances[0], &policy, "s", limit + 100).await;
    println!("{inside} in a window of {limit}");
    assert!(inside > limit && inside <= limit + 3 * (MAX - 1), "{inside}");
}
