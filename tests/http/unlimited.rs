//! `testing::unlimited()`: nothing is refused, by whatever way a limit is asked.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tollgate::testing::{Client, scope, unlimited};
use tollgate::{
    Key, Limiter, OnError, Override, Overrides, Policy, Quota, RateLimitLayer, RateLimited, Source,
    rate_limit,
};

const HOUR: Duration = Duration::from_secs(3_600);
const ONE: Policy = Policy::new("one", Quota::new(1, HOUR));

#[rate_limit(1, per = hour)]
async fn handler() {}

#[rate_limit(1, per = hour, key = header("x-key"), cost = self::cost)]
#[rate_limit(1, per = day)]
async fn stacked() {}

/// More than any limit here.
fn cost(_: &axum::http::request::Parts) -> u32 {
    1_000
}

#[rate_limit(1, per = hour, key = args(who))]
async fn function(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(1, per = hour, key = args(who))]
fn not_async(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(1, per = hour, key = args(who), wait = "1ms")]
async fn waits(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(1, per = hour, key = args(path.0))]
async fn by_argument(path: axum::extract::Path<String>) -> Result<(), RateLimited> {
    Ok(())
}

fn routes() -> Router {
    let layered = get(|| async {}).layer(RateLimitLayer::new(ONE).cost(9));
    let keyless = get(|| async {}).layer(RateLimitLayer::new(ONE).key(Key::header("x-key")));
    Router::new()
        .route("/handler", get(handler))
        .route("/stacked", get(stacked))
        .route("/layered", layered)
        .route("/keyless", keyless)
        .layer(RateLimitLayer::new(ONE.on_error(OnError::Local)))
}

async fn assert_nothing_is_refused(limiter: &Limiter) {
    let client = Client::new(routes(), limiter);
    for path in ["/handler", "/stacked", "/layered", "/keyless"] {
        for _ in 0..3 {
            let response = client.get(path).await;
            assert_eq!(response.status(), 200, "{path}");
            assert!(!response.headers().contains_key("ratelimit"), "{path}");
        }
    }
    let calls = async {
        let by_arguments = Router::new().route("/{name}", get(by_argument));
        let client = Client::new(by_arguments, limiter);
        for _ in 0..3 {
            function("s").await.unwrap();
            not_async("s").unwrap();
            waits("s").await.unwrap();
            assert_eq!(client.get("/name").await.status(), 200);
        }
    };
    scope(limiter.clone(), calls).await;
    for cost in [0, 1, 2, u32::MAX] {
        let decisions = [
            limiter.check_cost(&ONE, "s", cost).await.unwrap(),
            limiter.check_now(&ONE, "s", cost).unwrap().unwrap(),
            limiter.wait(&ONE, "s", cost, Duration::ZERO).await.unwrap(),
            limiter.peek(&ONE, "s", cost).await.unwrap(),
        ];
        for decision in decisions {
            assert_eq!((decision.is_allowed(), decision.source()), (true, Source::Disabled));
        }
    }
    limiter.reset(&ONE, "s").await.unwrap();
}

#[tokio::test]
async fn nothing_is_refused_whatever_the_overrides_say() {
    let limiter = unlimited();
    assert_nothing_is_refused(&limiter).await;
    let one = Override::new().limit(1).enabled(true);
    let handlers = Limiter::policies().filter(|policy| policy.name().contains("unlimited"));
    let overrides: Overrides = handlers.map(|policy| (policy.name(), one.clone())).collect();
    assert!(overrides.len() >= 5, "{overrides:?}");
    limiter.set_overrides(overrides).unwrap();
    assert_nothing_is_refused(&limiter).await;
    limiter.set_overrides(Overrides::new()).unwrap();
    assert_nothing_is_refused(&limiter).await;
}
