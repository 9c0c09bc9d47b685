//! A policy counts a request once, however often the request meets it; the largest cost counts.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use axum::routing::{any, get};
use support::far::{FarStore, limiter_on};
use support::redis::RedisServer;
use support::{header, limiter, local, send};
use tollgate::{Key, Limiter, LocalTier, Policy, Quota, RateLimitLayer, RedisBackend, rate_limit};
use tower::ServiceExt as _;

fn policy() -> Policy {
    Policy::new("met", Quota::per_minute(10))
}

fn layer(cost: u32) -> RateLimitLayer {
    RateLimitLayer::new(policy()).cost(cost)
}

#[rate_limit(10, per = minute, group = "met")]
async fn handler() {}

#[rate_limit(10, per = minute, group = "met", cost = 3)]
async fn dear_handler() {}

/// Sends the request on, as a gateway does.
#[rate_limit(10, per = minute, group = "met", cost = 2)]
async fn gateway(State(inner): State<Router>, request: Request<Body>) -> Response {
    inner.oneshot(request).await.unwrap()
}

/// Sends a request of its own for the one that it was asked.
#[rate_limit(10, per = minute, group = "met")]
async fn asks_anew(State(inner): State<Router>, mut request: Request<Body>) -> Response {
    let mut other = Request::new(Body::empty());
    let peer = request
        .extensions_mut()
        .remove::<axum::extract::connect_info::MockConnectInfo<std::net::SocketAddr>>();
    other.extensions_mut().insert(peer.unwrap());
    inner.oneshot(other).await.unwrap()
}

fn plain() -> Router {
    Router::new().route("/", get(async || ""))
}

/// Routers in which a request meets the policy, and the units that it costs.
fn rows() -> Vec<(&'static str, Router, u32)> {
    let handler = || Router::new().route("/", get(handler));
    let dear_handler = || Router::new().route("/", get(dear_handler));
    let once = layer(1);
    let nested = Router::new().nest("/nested", plain().layer(once.clone())).layer(once.clone());
    let by = |key| RateLimitLayer::new(policy()).key(key);
    vec![
        ("a layer", plain().layer(layer(1)), 1),
        ("the same layer twice", plain().layer(once.clone()).layer(once.clone()), 1),
        ("the same layer thrice", plain().layer(once.clone()).layer(once.clone()).layer(once), 1),
        ("a dearer one inside", plain().layer(layer(3)).layer(layer(1)), 3),
        ("a dearer one outside", plain().layer(layer(1)).layer(layer(3)), 3),
        ("three costs, rising", plain().layer(layer(4)).layer(layer(3)).layer(layer(2)), 4),
        ("three costs, mixed", plain().layer(layer(2)).layer(layer(4)).layer(layer(3)), 4),
        ("nested", nested, 1),
        ("a route layer in a layer", plain().route_layer(layer(2)).layer(layer(1)), 2),
        ("a handler", handler(), 1),
        ("a handler in a layer", handler().layer(layer(1)), 1),
        ("a handler in a dearer layer", handler().layer(layer(2)), 2),
        ("a dear handler in a layer", dear_handler().layer(layer(1)), 3),
        ("a layer behind a handler", gateway_to(plain().layer(layer(1))), 2),
        ("a dear layer behind a handler", gateway_to(plain().layer(layer(5))), 5),
        ("a dear handler behind a handler", gateway_to(dear_handler().layer(layer(1))), 3),
        ("another request", asking(plain().layer(layer(1))), 2),
        ("another policy", plain().layer(named("other")).layer(layer(1)), 1),
        ("other subjects", plain().layer(by(Key::global())).layer(by(Key::ip())), 1),
        ("a free layer outside", plain().layer(layer(2)).layer(layer(0)), 2),
        ("a free layer inside", plain().layer(layer(0)).layer(layer(2)), 2),
    ]
}

fn named(name: &'static str) -> RateLimitLayer {
    RateLimitLayer::new(Policy::new(name, Quota::per_minute(10)))
}

fn gateway_to(inner: Router) -> Router {
    Router::new().route("/", any(gateway)).with_state(inner)
}

fn asking(inner: Router) -> Router {
    Router::new().route("/", any(asks_anew)).with_state(inner)
}

async fn check(limiter: impl Fn() -> Limiter) {
    for (row, router, expected) in rows() {
        let limiter = limiter();
        let app = local(router, &limiter);
        let path = if row == "nested" { "/nested" } else { "/" };
        for number in 1..=2 {
            let response = send(&app, support::get(path)).await;
            assert_eq!(response.status(), 200, "{row}");
            let peeked = limiter.peek(&policy(), "192.0.2.1", 0).await.unwrap();
            assert_eq!(10 - peeked.remaining(), number * expected, "{row}, request {number}");
            // The client is told of the policy once, and what is left of it in fact.
            let fields: Vec<&str> = response
                .headers()
                .get_all("ratelimit")
                .iter()
                .map(|field| field.to_str().unwrap())
                .filter(|field| field.starts_with("\"met\""))
                .collect();
            let told = if matches!(row, "other subjects" | "another request") { 2 } else { 1 };
            assert_eq!(fields.len(), told, "{row}: {fields:?}");
            let left = format!("\"met\";r={};", 10 - number * expected);
            assert!(fields.iter().any(|field| field.starts_with(&left)), "{row}: {fields:?}");
            assert!(header(&response, "ratelimit-policy").is_some(), "{row}");
        }
    }
}

#[tokio::test]
async fn in_memory() {
    check(|| limiter().0).await;
}

#[tokio::test]
async fn on_a_store_that_takes_waiting() {
    check(|| {
        let store = FarStore::new();
        let clock = store.clock.clone();
        limiter_on(store, &clock).build()
    })
    .await;
}

#[tokio::test]
async fn on_redis() {
    let server = RedisServer::start();
    let number = std::cell::Cell::new(0);
    check(|| {
        number.set(number.get() + 1);
        let backend = RedisBackend::builder(&server.url()).key_prefix(format!("{}", number.get()));
        let backend = backend.deadline(std::time::Duration::from_secs(20)).build().unwrap();
        Limiter::builder(backend).local_tier(LocalTier::none()).build()
    })
    .await;
}

/// If the rest of a larger cost is refused, the client is told so once, by the limit that refused.
#[tokio::test]
async fn a_refusal_of_the_rest_is_told_once() {
    let limiter = limiter().0;
    let app = local(plain().layer(layer(8)).layer(layer(1)), &limiter);
    assert_eq!(send(&app, support::get("/")).await.status(), 200);
    let refused = send(&app, support::get("/")).await;
    assert_eq!(refused.status(), 429);
    let fields: Vec<_> = refused.headers().get_all("ratelimit").iter().collect();
    assert_eq!(fields, ["\"met\";r=1;t=60"]);
}
