//! The status of each reason for a refusal.

use std::time::Duration;

use support::limiter;
use tollgate::http::Refusal;
use tollgate::{Ban, HttpOptions, Key, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer};
use tonic::{Code, Request, Status};

use crate::layers::{policy, retry_delay, serve};
use crate::service::field;

const MINUTE: Duration = Duration::from_secs(60);

/// The first refusal of a client that calls again and again.
async fn refusal(layer: RateLimitLayer) -> Status {
    let (limiter, _clock) = limiter();
    let (_served, client) = serve(&limiter, layer).await;
    for _ in 0..3 {
        if let Err(status) = client.call("Unary", "text").await {
            return status;
        }
    }
    panic!("nothing was refused")
}

/// An extension that no layer inserts.
type Missing = std::net::Ipv4Addr;

#[tokio::test]
async fn each_reason_has_its_status() {
    let one = || RateLimitLayer::new(policy("p", 1, 60));
    let function = |_: &axum::http::request::Parts| None::<String>;
    for (layer, code, message, delay) in [
        (one(), Code::ResourceExhausted, "Limit of 1 per 60s reached; retry in 60s.", Some(MINUTE)),
        (
            RateLimitLayer::new(policy("p", 1, 90 * 86_400)),
            Code::ResourceExhausted,
            "Limit of 1 per 7776000s reached; retry in 2147483s.",
            // Longer waits are none for clients on Node.js.
            Some(Duration::from_secs(2_147_483)),
        ),
        (
            one().cost_of(|_| 2),
            Code::ResourceExhausted,
            "This request alone is more than the limit of 1 per 60s allows.",
            None,
        ),
        (
            RateLimitLayer::new(Policy::new("p", Quota::BLOCKED)),
            Code::PermissionDenied,
            "This client is blocked.",
            None,
        ),
        (
            RateLimitLayer::new(policy("p", 1, 60).ban(Ban::new(1, 2 * MINUTE))),
            Code::PermissionDenied,
            "This client is banned, for now; retry in 120s.",
            Some(2 * MINUTE),
        ),
        (
            one().key(Key::header("x-api-key")),
            Code::InvalidArgument,
            "This request cannot be counted: the header `x-api-key` is required.",
            None,
        ),
        (
            one().key(Key::function(function)),
            Code::InvalidArgument,
            "This request cannot be counted: it lacks what its limit counts by.",
            None,
        ),
        (
            one().key(Key::extension::<Missing>()),
            Code::Internal,
            "This request cannot be counted: the server does not provide what its limit counts by.",
            None,
        ),
    ] {
        let status = refusal(layer).await;
        assert_eq!((status.code(), status.message()), (code, message));
        assert_eq!(retry_delay(&status), delay, "{message}");
        assert_eq!(status.details().is_empty(), delay.is_none(), "{message}");
        let told = field(status.metadata(), "retry-after");
        assert_eq!(told, delay.map(|it| it.as_secs().to_string()).as_deref(), "{message}");
    }
}

/// Messages may have any characters, which the protocol allows only encoded.
#[tokio::test]
async fn messages_arrive_as_they_are() {
    for text in ["100 % schön\n", "%25", "plain ~", "", "\u{7f}\u{0}"] {
        let layer = RateLimitLayer::new(policy("p", 1, 60)).cost_of(|_| 2);
        let told = text.to_owned();
        let layer = layer.refusal(move |refusal: &Refusal<'_>| {
            refusal.grpc_status().unwrap().code(9).message(&*told)
        });
        let status = refusal(layer).await;
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, text));
    }
}

/// A function of the user's own makes the answer, the layer's before that of the limiter. The details
/// and the fields that it leaves out are added.
#[tokio::test]
async fn a_function_of_the_users_own_wins() {
    let by = |who: &'static str| {
        move |refusal: &Refusal<'_>| refusal.grpc_status().unwrap().message(who)
    };
    for (layer_has_one, expected) in [(true, "layer"), (false, "limiter")] {
        let options = HttpOptions::new().refusal(by("limiter"));
        let limiter = Limiter::builder(MemoryBackend::new()).http(options).build();
        let layer = RateLimitLayer::new(policy("p", 1, 60));
        let layer = if layer_has_one { layer.refusal(by("layer")) } else { layer };
        let (_served, client) = serve(&limiter, layer).await;
        client.call("Unary", "text").await.unwrap();
        let status = client.call("Unary", "text").await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, expected));
        assert!(retry_delay(&status).is_some());
        assert!(field(status.metadata(), "ratelimit").is_some());
    }
}

/// The key may be metadata, which is counted as a header is.
#[tokio::test]
async fn metadata_is_a_key() {
    let (limiter, _clock) = limiter();
    let layer = RateLimitLayer::new(policy("p", 1, 60)).key(Key::header("x-api-key"));
    let (_served, client) = serve(&limiter, layer).await;
    let with_key = |key: &str| {
        let mut request = Request::new("text".to_owned());
        request.metadata_mut().insert("x-api-key", key.parse().unwrap());
        request
    };
    for key in ["a", "b"] {
        client.send("Unary", with_key(key)).await.unwrap();
        let status = client.send("Unary", with_key(key)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{key}");
    }
}
