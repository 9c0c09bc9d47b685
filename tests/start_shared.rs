//! One name of two functions does not start, though both annotations are written in one place.

#![allow(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use axum::Router;
use axum::routing::get;
use support::limiter;
use tollgate::{RateLimited, StartError, rate_limit};

macro_rules! functions {
    ($($name:ident)*) => {$(
        #[rate_limit(2, per = minute, key = args(), name = "orders")]
        async fn $name() -> Result<(), RateLimited> {
            Ok(())
        }
    )*};
}

functions!(list show);

/// Repeats the function under its own name, which only the compiler sees.
#[axum::debug_handler]
#[rate_limit(2, per = minute, name = "debugged")]
async fn debugged(_: axum::http::HeaderMap) {}

/// Budgets are shared by a group.
#[rate_limit(2, per = minute, group = "uploads")]
async fn upload() {}

#[rate_limit(2, per = minute, group = "uploads")]
async fn replace() {}

#[tokio::test]
async fn the_error_tells_how_to_share_or_to_part() {
    let (limiter, _clock) = limiter();
    let error = limiter.initialize().await.unwrap_err();
    let printed = format!("{error:?}");
    assert!(printed.contains("give both the same `group`"), "{printed}");
    assert!(printed.ends_with("write that attribute below it"), "{printed}");
    let StartError::SharedName { name, places, .. } = error else { panic!("{error}") };
    assert_eq!(name, "orders");
    assert_eq!(places, ["tests/start_shared.rs:19", "tests/start_shared.rs:19"]);
    assert!(list().await.is_err() && show().await.is_err());
    let _: Router =
        Router::new().route("/debugged", get(debugged)).route("/uploads", get(upload).put(replace));
}
