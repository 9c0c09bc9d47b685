//! `closed`, `open` and `local`: what callers and clients see.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tollgate::testing::ManualClock;
use tollgate::{CircuitBreaker, Limiter, LimiterBuilder, MemoryBackend, OnError, Policy, Quota};
use tollgate::{Source, StartError, rate_limit};

use super::store::{Health, Store};

const MINUTE: Duration = Duration::from_secs(60);
const POLICY: Policy = Policy::new("p", Quota::new(10, MINUTE));

#[rate_limit(10, per = minute)]
async fn closed() -> &'static str {
    "answer"
}

#[rate_limit(10, per = minute, skip_on_error)]
async fn open() -> &'static str {
    "answer"
}

#[rate_limit(10, per = minute, on_error = local)]
async fn local() -> &'static str {
    "answer"
}

fn builder() -> (LimiterBuilder, Store, ManualClock) {
    let clock = ManualClock::new();
    let store = Store::new(&clock);
    (Limiter::builder(store.clone()).clock(clock.clone()), store, clock)
}

#[tokio::test]
async fn what_clients_see() {
    let (builder, store, _clock) = builder();
    let breaker = CircuitBreaker::new().reset_timeout(Duration::from_secs(30));
    let limiter = builder.instances(3).breaker(breaker).build();
    limiter.initialize().await.unwrap();
    let router = Router::new()
        .route("/closed", get(closed))
        .route("/open", get(open))
        .route("/local", get(local));
    let router = support::local(router, &limiter);
    for path in ["/closed", "/open", "/local"] {
        assert_eq!(support::status(&router, support::get(path)).await, StatusCode::OK, "{path}");
    }
    store.is(Health::Down);
    for number in 0..20 {
        let response = support::send(&router, support::get("/closed")).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let retry_after: u64 = support::header(&response, "retry-after").unwrap().parse().unwrap();
        // Five failures, and then what is left until the store is tried.
        let range = if number < 5 { 1..=1 } else { 15..=30 };
        assert!(range.contains(&retry_after), "{number}: {retry_after}");
        let problem = support::json(response).await;
        let kind = problem["type"].as_str().unwrap();
        assert!(kind.ends_with("#temporary-reduced-capacity"), "{kind}");
    }
    for _ in 0..20 {
        let response = support::send(&router, support::get("/open")).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
    // A third of 10 is 4, and one of them was used while the store was well.
    for number in 0..6 {
        let response = support::send(&router, support::get("/local")).await;
        let expected = if number < 3 { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(response.status(), expected, "{number}");
        assert_eq!(support::header(&response, "retry-after").is_some(), number >= 3);
    }
}

#[tokio::test]
async fn every_decision_says_who_made_it() {
    let (builder, store, _clock) = builder();
    let limiter = builder.instances(2).build();
    let [open, local] = [OnError::Open, OnError::Local].map(|mode| POLICY.on_error(mode));
    for policy in [&POLICY, &open, &local] {
        assert_eq!(limiter.check(policy, "s").await.unwrap().source(), Source::Store);
    }
    store.is(Health::Down);
    assert!(limiter.check(&POLICY, "s").await.is_err());
    for (policy, source) in [(&open, Source::Open), (&local, Source::Local)] {
        let decision = limiter.check(policy, "s").await.unwrap();
        assert!(decision.is_allowed());
        assert_eq!(decision.source(), source);
        assert_eq!(limiter.peek(policy, "s", 1).await.unwrap().source(), source);
    }
    // Also a refusal.
    while limiter.check(&local, "s").await.unwrap().is_allowed() {}
    let refused = limiter.check(&local, "s").await.unwrap();
    assert_eq!(refused.source(), Source::Local);
    assert_eq!(refused.retry_after(), Some(MINUTE));
}

#[tokio::test]
async fn the_limiter_says_it_for_policies_that_do_not() {
    let (builder, store, _clock) = builder();
    let limiter = builder.on_error(OnError::Open).instances(1).build();
    store.is(Health::Down);
    assert_eq!(limiter.check(&POLICY, "s").await.unwrap().source(), Source::Open);
    let strict = POLICY.on_error(OnError::Closed);
    assert!(limiter.check(&strict, "s").await.is_err());
}

/// The annotation above asks for it.
#[tokio::test]
async fn local_without_instances_does_not_start() {
    let (builder, _store, _clock) = builder();
    let limiter = builder.build();
    let error = limiter.initialize().await.unwrap_err();
    let StartError::Unsupported { name, reason, .. } = &error else { panic!("{error}") };
    assert!(name.ends_with("modes::local"), "{name}");
    assert!(reason.contains("instances(n)"), "{reason}");
    // Nor does the first check of whatever policy succeed, nor any later one.
    for _ in 0..2 {
        let error = limiter.check(&POLICY, "s").await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("instances(n)"), "{cause}");
    }
    // In memory nothing fails, and nothing has to be known.
    let limiter = Limiter::new(MemoryBackend::new());
    limiter.initialize().await.unwrap();
    assert!(limiter.check(&POLICY.on_error(OnError::Local), "s").await.unwrap().is_allowed());
}
