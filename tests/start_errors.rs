//! Annotations that contradict each other do not start. This program has such a pair.

#![allow(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::error::Error;

use axum::Router;
use axum::routing::get;
use support::{limiter, local, send};
use tollgate::{StartError, rate_limit};

#[rate_limit(10, per = minute, name = "search")]
async fn search_text() {}

#[rate_limit(20, per = minute, name = "search")]
async fn search_images() {}

#[tokio::test]
async fn one_name_for_different_limits_names_both_places() {
    let (limiter, _clock) = limiter();
    let error = limiter.initialize().await.unwrap_err();
    // `main` prints this text.
    let printed = format!("{error:?}");
    assert!(printed.ends_with("give them different names, or the same limit"), "{printed}");
    let StartError::Conflict { name, mut places, .. } = error else { panic!("{error}") };
    places.sort();
    assert_eq!(name, "search");
    assert_eq!(places, ["tests/start_errors.rs:12", "tests/start_errors.rs:15"]);
}

/// Without `initialize`, the first check finds it, and no later one succeeds.
#[tokio::test]
async fn every_check_fails_with_that_error() {
    let (limiter, _clock) = limiter();
    let policy =
        tollgate::Policy::new("p", tollgate::Quota::new(1, std::time::Duration::from_secs(1)));
    let policy = policy.on_error(tollgate::OnError::Open);
    for _ in 0..2 {
        let error = limiter.check(&policy, "s").await.unwrap_err();
        let cause = error.source().unwrap().to_string();
        assert!(
            cause.contains("`search`") && cause.contains("tests/start_errors.rs:12"),
            "{cause}"
        );
    }
    let routes = Router::new().route("/t", get(search_text)).route("/i", get(search_images));
    assert_eq!(send(&local(routes, &limiter), support::get("/t")).await.status(), 503);
}
