//! Limits in front of a server: what a client reads of a refusal, and that it waits rightly by it.

use std::net::Ipv4Addr;
use std::time::Duration;

use support::limiter;
use tollgate::{Algorithm, Key, Limiter, Policy, Quota, RateLimitLayer};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::service::{Client, KINDS, Served, field};

pub(crate) fn policy(name: &'static str, limit: u32, secs: u64) -> Policy {
    Policy::new(name, Quota::new(limit, Duration::from_secs(secs)))
}

/// The delay that the client is told by the status's details.
pub(crate) fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Calls of each kind are admitted as often as the limit says. Then the status has all that a client
/// needs: it is refused until the instant that the details tell, to the microsecond, and admitted
/// then.
#[tokio::test]
async fn each_kind_of_method_is_limited_and_clients_wait_rightly() {
    for kind in KINDS {
        for algorithm in [Algorithm::SlidingWindow, Algorithm::Gcra] {
            let (limiter, clock) = limiter();
            let policy = policy("echo", 2, 7).algorithm(algorithm);
            let layers = (limiter.layer(), RateLimitLayer::new(policy));
            let served = Served::start(layers).await;
            let client = served.client().await;
            let told = format!("{kind} {algorithm}");

            for remaining in [1, 0] {
                let answer = client.call(kind, "text").await.unwrap();
                assert!(answer.texts.contains(&"text".to_owned()), "{told}");
                let metadata = &answer.metadata;
                assert_eq!(
                    field(metadata, "ratelimit-policy"),
                    Some(r#""echo";q=2;w=7"#),
                    "{told}"
                );
                let item = field(metadata, "ratelimit").unwrap();
                assert!(item.starts_with(&format!(r#""echo";r={remaining}"#)), "{told}: {item}");
            }
            clock.advance(Duration::from_micros(1_234_567));
            let refused = client.call(kind, "text").await.unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted, "{told}");
            let delay = retry_delay(&refused).unwrap();
            let expected = match algorithm {
                Algorithm::Gcra => Duration::from_micros(2_265_433),
                _ => Duration::from_micros(5_765_433),
            };
            assert_eq!(delay, expected, "{told}");
            let seconds = delay.as_secs() + 1;
            let message = format!("Limit of 2 per 7s reached; retry in {seconds}s.");
            assert_eq!(refused.message(), message, "{told}");
            let metadata = refused.metadata();
            assert_eq!(field(metadata, "retry-after"), Some(&*seconds.to_string()), "{told}");
            assert_eq!(field(metadata, "ratelimit-policy"), Some(r#""echo";q=2;w=7"#), "{told}");
            let item = format!(r#""echo";r=0;t={seconds}"#);
            assert_eq!(field(metadata, "ratelimit"), Some(&*item), "{told}");
            assert_eq!(field(metadata, "cache-control"), Some("no-store"), "{told}");

            clock.advance(delay - Duration::from_micros(1));
            let early = client.call(kind, "text").await.unwrap_err();
            assert_eq!(retry_delay(&early), Some(Duration::from_micros(1)), "{told}");
            clock.advance(Duration::from_micros(1));
            client.call(kind, "text").await.unwrap();
        }
    }
}

/// A client that keeps to what it is told gets all of its calls through, one more than the limit at
/// each end of a wait, and none is refused twice.
#[tokio::test]
async fn a_client_that_waits_as_told_is_refused_once_for_each_wait() {
    let (limiter, clock) = limiter();
    let layers = RateLimitLayer::new(policy("echo", 3, 10)).limiter(limiter);
    let served = Served::start(layers).await;
    let client = served.client().await;
    let (mut refused, mut waited) = (0, Duration::ZERO);
    for _ in 0..30 {
        while let Err(status) = client.call("Unary", "text").await {
            refused += 1;
            let delay = retry_delay(&status).unwrap();
            waited += delay;
            clock.advance(delay);
        }
    }
    // 30 calls, 3 each 10 seconds: the last three after 90 seconds.
    assert_eq!((refused, waited), (9, Duration::from_secs(90)));
}

/// A method that the layer skips has neither a limit nor its fields.
#[tokio::test]
async fn an_unlimited_method_is_untouched() {
    let (limiter, _clock) = limiter();
    let layer = RateLimitLayer::new(policy("echo", 1, 60)).skip_path("/test.Echo/Free");
    let served = Served::start(layer.limiter(limiter)).await;
    let client = served.client().await;
    client.call("Unary", "text").await.unwrap();
    client.call("Unary", "text").await.unwrap_err();
    for _ in 0..10 {
        let answer = client.call("Free", "text").await.unwrap();
        assert_eq!(field(&answer.metadata, "ratelimit"), None);
        assert_eq!(field(&answer.metadata, "ratelimit-policy"), None);
    }
}

/// Without `ConnectInfo`, which is axum's, the client's address is what tonic's server tells: each
/// address has a budget, which all of its connections share.
#[tokio::test]
async fn clients_are_counted_by_the_address_that_tonic_tells() {
    let (limiter, _clock) = limiter();
    let layer = RateLimitLayer::new(policy("echo", 1, 60)).key(Key::ip()).limiter(limiter);
    let served = Served::start(layer).await;
    for address in [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)] {
        served.client_from(address).await.call("Unary", "text").await.unwrap();
        let refused = served.client_from(address).await.call("Unary", "text").await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{address}");
    }
}

/// A server with a layer of these settings, and a client.
pub(crate) async fn serve(limiter: &Limiter, layer: RateLimitLayer) -> (Served, Client) {
    let served = Served::start(layer.limiter(limiter.clone())).await;
    let client = served.client().await;
    (served, client)
}
