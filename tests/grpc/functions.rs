//! Limits of methods and of functions that they call: their refusals are the statuses of layers.

use std::error::Error as _;
use std::time::Duration;

use support::{FailingBackend, limiter};
use tollgate::http::Refusal;
use tollgate::{
    Ban, Decision, HttpOptions, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer, RateLimited,
    Unavailable, grpc,
};
use tonic::{Code, Status};

use crate::layers::{policy, retry_delay, serve};
use crate::service::{Served, field};

/// The parts of a status that a client reads.
fn read(status: &Status) -> (Code, String, Vec<u8>, Vec<(String, String)>) {
    let mut metadata: Vec<(String, String)> = status
        .metadata()
        .clone()
        .into_headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| name != "date" && name != "content-type")
        .collect();
    metadata.sort();
    (status.code(), status.message().to_owned(), status.details().to_vec(), metadata)
}

/// By the attribute on the method, and by `?` after a function that knows nothing of gRPC.
#[tokio::test]
async fn a_method_with_an_attribute_refuses_and_clients_wait_rightly() {
    for (method, name) in [("Limited", "method"), ("Calls", "function")] {
        let (limiter, clock) = limiter();
        let served = Served::start(limiter.layer()).await;
        let client = served.client().await;
        client.call(method, "text").await.unwrap();
        client.call(method, "text").await.unwrap();
        let status = client.call(method, "text").await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        let delay = retry_delay(&status).unwrap();
        assert_eq!(delay, Duration::from_secs(60));
        let item = format!(r#""{name}";r=0;t=60"#);
        assert_eq!(field(status.metadata(), "ratelimit"), Some(&*item));
        clock.advance(delay - Duration::from_micros(1));
        client.call(method, "text").await.unwrap_err();
        clock.advance(Duration::from_micros(1));
        client.call(method, "text").await.unwrap();
        // Another method has no limit.
        for _ in 0..5 {
            client.call("Unary", "text").await.unwrap();
        }
    }
}

/// The status of a check, as a method makes it by `?`.
async fn checked(limiter: &Limiter, policy: &Policy, cost: u32) -> Result<Decision, Status> {
    Ok(limiter.check_cost(policy, "127.0.0.1", cost).await?.into_result()?)
}

/// A refusal is the same for a client, whoever makes it: a layer, a check in a method, or the function
/// that the attribute names.
#[tokio::test]
async fn the_account_is_that_of_a_layer() {
    let p = || policy("p", 1, 60);
    for (policy, cost) in [
        (p(), 1),
        (p(), 2),
        (Policy::new("p", Quota::BLOCKED), 1),
        (p().ban(Ban::new(1, Duration::from_secs(600))), 1),
    ] {
        let (limiter, _clock) = limiter();
        let layer = RateLimitLayer::new(policy.clone()).cost_of(move |_| cost);
        let (_served, client) = serve(&limiter, layer).await;
        let mut by_layer = client.call("Unary", "text").await;
        if by_layer.is_ok() {
            by_layer = client.call("Unary", "text").await;
        }
        // The first refusal begins a ban, which is told by both.
        let by_layer = by_layer.unwrap_err();
        let by_check = checked(&limiter, &policy, cost).await.unwrap_err();
        assert_eq!(read(&by_check), read(&by_layer));
        assert!(by_check.source().unwrap().is::<RateLimited>());
    }
}

#[tokio::test]
async fn an_outage_is_unavailable() {
    let limiter = Limiter::new(FailingBackend);
    let by_check = checked(&limiter, &policy("p", 1, 60), 1).await.unwrap_err();
    assert_eq!(by_check.code(), Code::Unavailable);
    assert_eq!(retry_delay(&by_check), Some(Duration::from_secs(1)));
    let unavailable: Unavailable = limiter.check(&policy("p", 1, 60), "a").await.unwrap_err();
    let named = grpc::status(unavailable.into());
    assert_eq!(read(&named), read(&by_check));
}

/// A function of the limiter's own makes the status if it makes one, and not if it makes a response of
/// HTTP, which a status cannot be.
#[tokio::test]
async fn a_function_of_the_limiters_own_wins_if_it_makes_a_status() {
    type Own = fn(&Refusal<'_>) -> axum::response::Response;
    let status: Own = |refusal| {
        use axum::response::IntoResponse as _;
        refusal.grpc_status().unwrap().code(2).message("own").into_response()
    };
    let page: Own = |_| axum::response::Response::new("<h1>Slow down</h1>".into());
    for (own, code, message) in [
        (status, Code::Unknown, "own"),
        (page, Code::ResourceExhausted, "Limit of 1 per 60s reached; retry in 60s."),
    ] {
        let options = HttpOptions::new().refusal(own);
        let limiter = Limiter::builder(MemoryBackend::new()).http(options).build();
        let _ = checked(&limiter, &policy("p", 1, 60), 1).await.unwrap();
        let status = checked(&limiter, &policy("p", 1, 60), 1).await.unwrap_err();
        assert_eq!(status.code(), code);
        assert!(status.message().starts_with(&message[..3]), "{status}");
        assert!(retry_delay(&status).is_some());
    }
}
