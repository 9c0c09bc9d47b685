//! The end of a call: a gRPC status that is not `OK` is a failure, though its response is HTTP 200.

use support::limiter;
use tollgate::{Ban, Key, Limiter, Policy, RateLimitLayer};

use crate::layers::{policy, serve};
use crate::service::{Client, FAIL, KINDS, Served};

/// What is left of a limit of 10 after `calls` calls, when their charges are settled.
async fn left(
    limiter: &Limiter,
    policy: &Policy,
    client: &Client,
    calls: [(&str, &str); 2],
) -> u32 {
    for (kind, text) in calls {
        let _ = client.call(kind, text).await;
    }
    limiter.peek(policy, tollgate::Subject::global(), 1).await.unwrap().remaining()
}

/// A status is in the head of a response without messages, or else in the trailers behind them. Both
/// decide.
#[tokio::test]
async fn what_is_given_back_is_decided_by_the_status() {
    for kind in KINDS {
        for (text, fails) in [("text", false), (FAIL, true)] {
            let p = policy("p", 10, 60);
            let layer = || RateLimitLayer::new(p.clone()).key(Key::global());
            for (layer, is_given_back, told) in [
                (layer().refund_if_failure(), fails, "failure"),
                (layer().refund_if_success(), !fails, "success"),
                (layer(), false, "neither"),
            ] {
                let (limiter, _clock) = limiter();
                let (_served, client) = serve(&limiter, layer).await;
                let expected = if is_given_back { 10 } else { 8 };
                let left = left(&limiter, &p, &client, [(kind, text), (kind, text)]).await;
                assert_eq!(left, expected, "{kind} {text}, refund_if {told}");
            }
        }
    }
}

/// The refusal of a limit behind a layer is a failure for the layer: it forgives nothing. Otherwise
/// whoever guesses passwords could have their bans forgiven by being refused.
#[tokio::test]
async fn a_refusal_is_no_success() {
    let (limiter, _clock) = limiter();
    let outer = policy("outer", 3, 60).ban(Ban::new(2, std::time::Duration::from_secs(600)));
    let inner = RateLimitLayer::new(policy("inner", 1, 60)).key(Key::global());
    let layer = RateLimitLayer::new(outer.clone()).key(Key::global()).refund_if_success();
    let served = Served::start((limiter.layer(), (layer, inner))).await;
    let client = served.client().await;
    // The first succeeds and costs nothing. The others are refused behind the layer, and cost it.
    for remaining in [3, 2, 1, 0] {
        let _ = client.call("Unary", "text").await;
        let left = limiter.peek(&outer, tollgate::Subject::global(), 1).await.unwrap().remaining();
        assert_eq!(left, remaining);
    }
}
