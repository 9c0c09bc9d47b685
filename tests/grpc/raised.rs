//! Refusals that pass layers: the delay that a client is told is the longest of all.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response};
use axum::response::IntoResponse as _;
use support::limiter;
use tollgate::http::Refusal;
use tollgate::{Key, RateLimitLayer};
use tonic::Code;

use crate::layers::{policy, retry_delay};
use crate::service::{KINDS, Served, field};

/// The layer in front has admitted the call for the last time in a minute, so the same call succeeds
/// only then, though the one behind it refuses for a second.
#[tokio::test]
async fn a_layer_raises_the_delay_of_a_refusal_that_passes_it() {
    for kind in KINDS {
        let (limiter, clock) = limiter();
        let outer = RateLimitLayer::new(policy("outer", 2, 60)).key(Key::global());
        let inner = RateLimitLayer::new(policy("inner", 1, 1)).key(Key::global());
        let served = Served::start((limiter.layer(), (outer, inner))).await;
        let client = served.client().await;
        client.call(kind, "text").await.unwrap();
        let status = client.call(kind, "text").await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(retry_delay(&status), Some(Duration::from_secs(60)), "{kind}");
        assert_eq!(status.message(), "Limit of 1 per 1s reached; retry in 60s.");
        assert_eq!(field(status.metadata(), "retry-after"), Some("60"));
        clock.advance(Duration::from_secs(60));
        client.call(kind, "text").await.unwrap();
    }
}

/// Texts of the user's own stay as they are when a layer raises the delay: a message instead of the
/// default one, and fields that are written over those of the status.
#[tokio::test]
async fn what_the_user_has_written_stays() {
    type Own = fn(&Refusal<'_>) -> Response<Body>;
    let message: Own =
        |refusal| refusal.grpc_status().unwrap().message("Slow down.").into_response();
    let field: Own = |refusal| {
        let mut response = refusal.grpc_status().unwrap().into_response();
        let message = HeaderValue::from_static("Slow down.");
        response.headers_mut().insert("grpc-message", message);
        response
    };
    for own in [message, field] {
        let (limiter, _clock) = limiter();
        let outer = RateLimitLayer::new(policy("outer", 2, 60)).key(Key::global());
        let inner = RateLimitLayer::new(policy("inner", 1, 1)).key(Key::global());
        let served = Served::start((limiter.layer(), (outer, inner.refusal(own)))).await;
        let client = served.client().await;
        client.call("Unary", "text").await.unwrap();
        let status = client.call("Unary", "text").await.unwrap_err();
        assert_eq!(status.message(), "Slow down.");
        assert_eq!(retry_delay(&status), Some(Duration::from_secs(60)));
    }
}
