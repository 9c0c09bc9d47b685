//! What a refused client costs the store, and when its refusal is forgotten.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tollgate::testing::scope;
use tollgate::{
    Algorithm, Limiter, LocalTier, Outcome, Policy, Quota, RateLimitLayer, RateLimited, Source,
    rate_limit,
};

use support::far::{FarStore, limiter_on, settle};
use support::local;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn limiter(store: &FarStore) -> Limiter {
    limiter_on(store.clone(), &store.clock).build()
}

fn with_tier(store: &FarStore, tier: LocalTier) -> Limiter {
    limiter_on(store.clone(), &store.clock).local_tier(tier).build()
}

fn policy(limit: u32) -> Policy {
    Policy::new("p", Quota::new(limit, MINUTE))
}

async fn check(limiter: &Limiter, policy: &Policy) -> (bool, Source) {
    let decision = limiter.check(policy, "s").await.unwrap();
    (decision.is_allowed(), decision.source())
}

/// A client that never waits, for a whole window: how often the store is asked after the first
/// refusal.
#[tokio::test]
async fn who_hammers_for_a_window_is_asked_about_once_an_age() {
    for (max_age, pause) in [(SECOND, 700), (SECOND * 7, 13_000), (SECOND / 3, 1_000)] {
        for &algorithm in Algorithm::ALL {
            let store = FarStore::new();
            let limiter = with_tier(&store, LocalTier::deny_cache().max_age(max_age));
            let policy = Policy::new("p", Quota::new(5, MINUTE)).algorithm(algorithm);
            for _ in 0..5 {
                assert!(check(&limiter, &policy).await.0);
            }
            assert_eq!(check(&limiter, &policy).await, (false, Source::Store));
            let (before, pause) = (store.calls(), Duration::from_micros(pause));
            let (mut passed, mut refused, mut admitted) = (Duration::ZERO, 0_u64, 0);
            while passed < MINUTE {
                let decision = check(&limiter, &policy).await;
                refused += u64::from(!decision.0);
                admitted += u64::from(decision.0);
                store.clock.advance(pause);
                passed += pause;
            }
            let calls = store.calls() - before;
            // What comes back meanwhile is admitted by the store, as it must be, and each time
            // it refuses anew.
            let most = MINUTE.as_micros().div_ceil(max_age.as_micros()) as u64 + 2 * admitted;
            assert!(calls <= most, "{algorithm:?}: {calls} calls for {refused}, not {most}");
            assert!(refused > 4_000);
        }
    }
}

#[tokio::test]
async fn by_default_it_is_there_and_can_be_turned_off() {
    let store = FarStore::new();
    for (limiter, source) in [
        (limiter(&store), Source::DenyCache),
        (with_tier(&store, LocalTier::deny_cache()), Source::DenyCache),
        (with_tier(&store, LocalTier::none()), Source::Store),
        (with_tier(&store, LocalTier::deny_cache().max_age(Duration::ZERO)), Source::Store),
    ] {
        let policy = policy(1);
        let _ = check(&limiter, &policy).await;
        assert_eq!(check(&limiter, &policy).await, (false, Source::Store));
        assert_eq!(check(&limiter, &policy).await, (false, source));
        assert_eq!(
            check(&limiter, &policy.clone().deny_cache(false)).await,
            (false, Source::Store)
        );
        store.clock.advance(MINUTE);
    }
}

#[tokio::test]
async fn what_is_reset_or_refunded_here_is_forgotten_at_once() {
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), policy(2));
    let first = limiter.check(&policy, "s").await.unwrap();
    assert!(check(&limiter, &policy).await.0);
    assert_eq!(check(&limiter, &policy).await, (false, Source::Store));
    assert_eq!(check(&limiter, &policy).await, (false, Source::DenyCache));
    assert!(limiter.refund(first).await.unwrap());
    assert_eq!(check(&limiter, &policy).await, (true, Source::Store));
    assert_eq!(check(&limiter, &policy).await, (false, Source::Store));
    assert_eq!(check(&limiter, &policy).await, (false, Source::DenyCache));
    limiter.reset(&policy, "s").await.unwrap();
    assert_eq!(check(&limiter, &policy).await, (true, Source::Store));
}

/// A reset that nobody waits for to its end.
#[tokio::test]
async fn a_reset_given_up_is_forgotten_too() {
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), policy(1));
    assert!(check(&limiter, &policy).await.0);
    assert!(!check(&limiter, &policy).await.0);
    store.set_ways([0, 1_000]);
    let reset = {
        let (limiter, policy) = (limiter.clone(), policy.clone());
        tokio::spawn(async move { limiter.reset(&policy, "s").await.unwrap() })
    };
    settle().await;
    reset.abort();
    let _ = reset.await;
    store.set_ways([0, 0]);
    assert_eq!(check(&limiter, &policy).await, (true, Source::Store));
}

#[tokio::test]
async fn a_refusal_is_also_known_where_nobody_can_wait() {
    let store = FarStore::new();
    let (limiter, policy) = (limiter(&store), policy(1));
    assert!(limiter.check_now(&policy, "s", 1).is_none());
    assert!(check(&limiter, &policy).await.0);
    assert!(!check(&limiter, &policy).await.0);
    let decision = limiter.check_now(&policy, "s", 1).unwrap().unwrap();
    assert_eq!(decision.source(), Source::DenyCache);
    let peeked = limiter.peek(&policy, "s", 1).await.unwrap();
    assert_eq!((peeked.outcome(), peeked.source()), (decision.outcome(), Source::DenyCache));
    assert!(limiter.check_now(&policy, "s", 0).is_none());
}

/// Whoever is first in line asks the store again at its instant, and is let in.
#[tokio::test]
async fn who_waits_gets_a_turn_when_it_comes() {
    for &algorithm in Algorithm::ALL {
        let store = FarStore::new();
        let limiter = limiter(&store);
        let policy = Policy::new("p", Quota::new(3, SECOND * 3)).algorithm(algorithm);
        for _ in 0..5 {
            let _ = check(&limiter, &policy).await;
        }
        let retry_after = match store.peek(&policy, "s", 1).outcome() {
            Outcome::Refused { retry_after } => retry_after,
            other => panic!("{other:?}"),
        };
        let waits = {
            let (limiter, policy) = (limiter.clone(), policy.clone());
            tokio::spawn(async move { limiter.wait(&policy, "s", 1, MINUTE).await.unwrap() })
        };
        settle().await;
        let spaced = algorithm == Algorithm::LeakyBucket;
        store.clock.advance(if spaced { SECOND * 3 } else { retry_after });
        settle().await;
        assert!(waits.is_finished(), "{algorithm:?}");
        assert!(waits.await.unwrap().is_allowed());
    }
}

#[rate_limit(1, per = minute, key = global)]
async fn plain() {}

#[rate_limit(1, per = minute, key = global, refund_if = failure)]
async fn refunding() {}

#[rate_limit(1, per = minute, key = args())]
async fn plain_call() -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(1, per = minute, key = args(), refund_if = failure)]
async fn refunding_call() -> Result<(), RateLimited> {
    Ok(())
}

#[tokio::test]
async fn policies_that_refund_are_left_to_the_store() {
    let store = FarStore::new();
    let limiter = limiter(&store);
    let layer = || RateLimitLayer::new(Policy::new("layer", Quota::new(1, MINUTE)));
    let refunding_layer = RateLimitLayer::new(Policy::new("refunds", Quota::new(1, MINUTE)))
        .refund_if(|response| response.status().is_server_error());
    let router = Router::new()
        .route("/plain", get(plain))
        .route("/refunding", get(refunding))
        .route("/layer", get(async || ()).layer(layer()))
        .route("/refunding_layer", get(async || ()).layer(refunding_layer));
    let router = local(router, &limiter);
    for (path, calls) in [("plain", 2), ("refunding", 7), ("layer", 2), ("refunding_layer", 7)] {
        let before = store.calls();
        for request in 0..7 {
            let status = support::status(&router, support::get(&format!("/{path}"))).await;
            let expected =
                if request == 0 { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS };
            assert_eq!(status, expected);
        }
        assert_eq!(store.calls() - before, calls, "{path}");
    }
    scope(limiter, async {
        let before = store.calls();
        for call in 0..7 {
            assert_eq!(plain_call().await.is_ok(), call == 0);
        }
        assert_eq!(store.calls() - before, 2);
        for call in 0..7 {
            assert_eq!(refunding_call().await.is_ok(), call == 0);
        }
        assert_eq!(store.calls() - before, 9);
    })
    .await;
}
