//! Each decision is counted, by what was decided and who decided.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tollgate::{
    CircuitBreaker, Limiter, LocalTier, OnError, Policy, Quota, RateLimitLayer, RateLimited,
    rate_limit, testing,
};

use support::exporter::Exporter;
use support::far::{FarStore, limiter_on};
use support::{limiter, local, status};

const HOUR: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);

fn policy(name: &'static str, limit: u32) -> Policy {
    Policy::new(name, Quota::new(limit, HOUR))
}

/// The decisions of this outcome and source.
fn decided(exporter: &Exporter, name: &str, outcome: &str, source: &str) -> Option<f64> {
    let labels = [("policy", name), ("outcome", outcome), ("source", source), ("shadow", "false")];
    exporter.value("tollgate_decisions_total", &labels)
}

/// All decisions about a policy.
fn all(exporter: &Exporter, name: &str) -> Option<f64> {
    exporter.value("tollgate_decisions_total", &[("policy", name)])
}

#[tokio::test]
async fn the_store_s_decisions_are_counted_and_timed() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let (limiter, _clock) = limiter();
    let policy = policy("p", 3);
    for subject in ["a", "a", "b", "a", "a"] {
        let _ = limiter.check(&policy, subject).await.unwrap();
    }
    let _ = limiter.check_cost(&policy, "a", 4).await.unwrap();
    let _ = limiter.check_now(&policy, "b", 1).unwrap().unwrap();
    // Nothing is decided by these.
    let _ = limiter.peek(&policy, "a", 1).await.unwrap();
    limiter.reset(&policy, "a").await.unwrap();
    assert_eq!(decided(&exporter, "p", "allowed", "store"), Some(5.0));
    assert_eq!(decided(&exporter, "p", "refused", "store"), Some(1.0));
    assert_eq!(decided(&exporter, "p", "never", "store"), Some(1.0));
    assert_eq!(all(&exporter, "p"), Some(7.0));
    let timed = exporter.value("tollgate_check_seconds_count", &[("backend", "memory")]);
    assert_eq!(timed, Some(7.0));
}

#[tokio::test]
async fn failures_are_counted_by_what_became_of_the_request() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let store = FarStore::new();
    let limiter = limiter_on(store.clone(), &store.clock).instances(2).build();
    let modes = [("c", OnError::Closed), ("o", OnError::Open), ("l", OnError::Local)];
    store.set_fails(true);
    for (name, mode) in modes {
        let policy = policy(name, 2).on_error(mode);
        for _ in 0..2 {
            let _ = limiter.check(&policy, "s").await;
        }
    }
    assert_eq!(decided(&exporter, "c", "failed", "closed"), Some(2.0));
    assert_eq!(decided(&exporter, "o", "allowed", "open"), Some(2.0));
    // Its share is one of the two.
    assert_eq!(decided(&exporter, "l", "allowed", "local"), Some(1.0));
    assert_eq!(decided(&exporter, "l", "refused", "local"), Some(1.0));
    let timed = exporter.value("tollgate_check_seconds_count", &[("backend", "custom")]);
    assert_eq!(timed, Some(6.0));
}

#[tokio::test]
async fn the_local_tier_s_decisions_are_told_apart() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let store = FarStore::new();
    let tier = LocalTier::deny_cache().lease(50);
    let limiter = limiter_on(store.clone(), &store.clock).local_tier(tier).build();
    let denied = policy("denied", 1).lease(0);
    for _ in 0..5 {
        let _ = limiter.check(&denied, "s").await.unwrap();
    }
    assert_eq!(decided(&exporter, "denied", "refused", "store"), Some(1.0));
    assert_eq!(decided(&exporter, "denied", "refused", "deny_cache"), Some(3.0));
    let leased = policy("leased", 1_000_000);
    for _ in 0..1_000 {
        let _ = limiter.check(&leased, "s").await.unwrap();
        store.clock.advance(Duration::from_micros(200));
    }
    let sources = ["store", "lease"].map(|source| decided(&exporter, "leased", "allowed", source));
    assert!(sources[1].unwrap() >= 900.0, "{sources:?}");
    assert_eq!(all(&exporter, "leased"), Some(1_000.0));
}

#[rate_limit(1, per = hour, shadow, key = args(), name = "shadow_call")]
async fn shadowed() -> Result<(), RateLimited> {
    Ok(())
}

#[tokio::test]
async fn what_a_shadow_limit_would_refuse_is_told_apart() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let (limiter, _clock) = limiter();
    testing::scope(limiter.clone(), async {
        for _ in 0..3 {
            assert!(shadowed().await.is_ok());
        }
    })
    .await;
    let layer = RateLimitLayer::new(policy("shadow_layer", 1)).shadow();
    let router = local(Router::new().route("/", get(|| async {})).layer(layer), &limiter);
    for _ in 0..3 {
        assert_eq!(status(&router, support::get("/")).await, StatusCode::OK);
    }
    for name in ["shadow_call", "shadow_layer"] {
        for (outcome, count) in [("allowed", 1.0), ("refused", 2.0)] {
            let labels = [("policy", name), ("outcome", outcome), ("shadow", "true")];
            assert_eq!(exporter.value("tollgate_decisions_total", &labels), Some(count), "{name}");
        }
        assert_eq!(all(&exporter, name), Some(3.0));
    }
}

#[tokio::test]
async fn a_wait_is_one_decision_however_often_it_asks() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let store = FarStore::new();
    let limiter = limiter_on(store.clone(), &store.clock).local_tier(LocalTier::none()).build();
    let policy = Policy::new("w", Quota::new(1, SECOND));
    let wait = |patience| limiter.wait(&policy, "s", 1, patience);
    assert!(wait(SECOND).await.unwrap().is_allowed());
    let turn = async {
        support::far::settle().await;
        store.clock.advance(SECOND);
    };
    assert!(tokio::join!(wait(SECOND), turn).0.unwrap().is_allowed());
    assert_eq!(store.calls(), 3);
    assert!(!wait(Duration::ZERO).await.unwrap().is_allowed());
    assert_eq!(decided(&exporter, "w", "allowed", "store"), Some(2.0));
    assert_eq!(decided(&exporter, "w", "refused", "store"), Some(1.0));
    assert_eq!(all(&exporter, "w"), Some(3.0));
    assert_eq!(exporter.value("tollgate_wait_seconds_count", &[("backend", "custom")]), Some(3.0));
}

#[tokio::test]
async fn admissions_near_the_limit_are_counted() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let (limiter, _clock) = limiter();
    // The second quota is the one that is nearly used up.
    let policy = policy("p", 1_000).and(Quota::new(20, HOUR));
    for admitted in 1..=25 {
        let _ = limiter.check(&policy, "s").await.unwrap();
        let near = exporter.value("tollgate_near_limit_total", &[("policy", "p")]);
        // 2 are a tenth of it, not less.
        let expected = f64::from(i32::clamp(admitted - 18, 0, 2));
        assert_eq!(near.unwrap_or(0.0), expected, "{admitted}");
    }
}

#[tokio::test]
async fn a_recorder_may_come_late_and_another_one_take_its_place() {
    let (limiter, _clock) = limiter();
    let policy = policy("p", 100);
    let check = || limiter.check_now(&policy, "s", 1).unwrap().unwrap();
    assert!(check().is_allowed());
    let [first, second] = [Exporter::new(), Exporter::new()];
    for (exporter, count) in [(&first, 3.0), (&second, 3.0), (&first, 6.0)] {
        let _listening = exporter.listen();
        for _ in 0..3 {
            assert!(check().is_allowed());
        }
        assert_eq!(decided(exporter, "p", "allowed", "store"), Some(count));
    }
    assert!(check().is_allowed());
    assert_eq!(all(&first, "p"), Some(6.0));
    assert_eq!(all(&second, "p"), Some(3.0));
}

#[tokio::test]
async fn turned_off_it_counts_nothing() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let store = FarStore::new();
    let limiter = Limiter::builder(store.clone())
        .clock(store.clock.clone())
        .breaker(CircuitBreaker::new())
        .metrics(None)
        .build();
    let _ = limiter.check(&policy("p", 1), "s").await.unwrap();
    limiter.record_metrics().await;
    assert_eq!(exporter.text(), "");
}
