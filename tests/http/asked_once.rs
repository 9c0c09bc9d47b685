//! The functions of the user are called once for a request, whatever the store: what was found
//! before the store has to be awaited is carried over.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::http::request::Parts;
use axum::routing::get;
use support::far::{FarStore, limiter_on};
use support::{limiter, local, send};
use tollgate::{Key, KeyExtractor, Limiter, Policy, Quota, RateLimitLayer, Subject, rate_limit};

/// Counts the calls of each function. Tests that share it run one after the other.
static CALLS: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const EXEMPT: usize = 0;
const COST: usize = 1;
const KEY: usize = 2;
const EXTRACTOR: usize = 3;

fn called(function: usize) {
    CALLS[function].fetch_add(1, Ordering::Relaxed);
}

fn take_calls() -> [u32; 4] {
    [0, 1, 2, 3].map(|function: usize| CALLS[function].swap(0, Ordering::Relaxed))
}

fn is_exempt(_: &Parts) -> bool {
    called(EXEMPT);
    false
}

fn cost(_: &Parts) -> u32 {
    called(COST);
    1
}

fn by_function(_: &Parts) -> &'static str {
    called(KEY);
    "somebody"
}

async fn by_async_function(_: &Parts) -> &'static str {
    called(KEY);
    "somebody"
}

#[derive(Clone, Copy)]
struct Somebody;

impl KeyExtractor for Somebody {
    async fn subject(&self, _: &Parts) -> Option<Subject> {
        called(EXTRACTOR);
        Some("somebody".into())
    }
}

#[rate_limit(9, per = minute, name = "a", exempt = self::is_exempt, cost = self::cost)]
async fn by_address() {}

#[rate_limit(9, per = minute, name = "b", exempt = self::is_exempt, cost = self::cost, key = self::by_function)]
async fn by_a_function() {}

#[rate_limit(9, per = minute, name = "c", exempt = self::is_exempt, cost = self::cost, key = self::by_async_function)]
async fn by_an_async_function() {}

#[rate_limit(9, per = minute, name = "d", exempt = self::is_exempt, cost = self::cost, key = self::Somebody)]
async fn by_an_extractor() {}

#[rate_limit(9, per = minute, name = "e", exempt = self::is_exempt, cost = self::cost)]
#[rate_limit(9, per = minute, name = "f", exempt = self::is_exempt, cost = self::cost, key = self::by_function)]
async fn by_both() {}

fn layer(key: Key) -> Router {
    let layer = RateLimitLayer::new(Policy::new("layer", Quota::per_minute(9)));
    let layer = layer.key(key).exempt(is_exempt).cost_of(cost);
    Router::new().route("/", get(async || "")).layer(layer)
}

/// Routers, each with the calls of exempt, cost, key function and extractor for a request.
fn rows() -> Vec<(&'static str, Router, [u32; 4])> {
    let route = |handler| Router::new().route("/", handler);
    vec![
        ("by address", route(get(by_address)), [1, 1, 0, 0]),
        ("by a function", route(get(by_a_function)), [1, 1, 1, 0]),
        ("by an async function", route(get(by_an_async_function)), [1, 1, 1, 0]),
        ("by an extractor", route(get(by_an_extractor)), [1, 1, 0, 1]),
        ("two limits", route(get(by_both)), [2, 2, 1, 0]),
        ("layer by address", layer(Key::ip()), [1, 1, 0, 0]),
        ("layer by a function", layer(Key::function(by_function)), [1, 1, 1, 0]),
        ("layer by an extractor", layer(Key::extractor(Somebody)), [1, 1, 0, 1]),
    ]
}

async fn check(limiter: impl Fn() -> Limiter) {
    let _alone = ONE_AT_A_TIME.lock().await;
    for (row, router, calls) in rows() {
        let app = local(router, &limiter());
        take_calls();
        for number in 1..=10 {
            let expected = if number <= 9 { 200 } else { 429 };
            assert_eq!(send(&app, support::get("/")).await.status(), expected, "{row}, {number}");
            let called = take_calls();
            if number <= 9 {
                assert_eq!(called, calls, "{row}, request {number}");
            } else {
                assert!(
                    called.into_iter().zip(calls).all(|(called, most)| called <= most),
                    "{row}"
                );
            }
        }
    }
}

#[tokio::test]
async fn in_memory() {
    check(|| limiter().0).await;
}

#[tokio::test]
async fn on_a_store_that_has_to_be_awaited() {
    check(|| {
        let store = FarStore::new();
        let clock = store.clock.clone();
        limiter_on(store, &clock).build()
    })
    .await;
}
