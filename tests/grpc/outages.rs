//! Outages: a call is refused as `UNAVAILABLE`, or passes, as the limit's `on_error` says.

use std::time::Duration;

use support::FailingBackend;
use tollgate::{Limiter, OnError, RateLimitLayer};
use tonic::Code;

use crate::layers::{policy, retry_delay, serve};
use crate::service::KINDS;

#[tokio::test]
async fn an_outage_refuses_or_passes_as_the_limit_says() {
    for kind in KINDS {
        for (mode, admitted) in [(OnError::Closed, 0), (OnError::Open, 6), (OnError::Local, 2)] {
            let limiter = Limiter::builder(FailingBackend).breaker(None).instances(1).build();
            let layer = RateLimitLayer::new(policy("echo", 2, 60).on_error(mode));
            let (_served, client) = serve(&limiter, layer).await;
            let mut passed = 0;
            for _ in 0..6 {
                let status = match client.call(kind, "text").await {
                    Ok(_) => {
                        passed += 1;
                        continue;
                    }
                    Err(status) => status,
                };
                // The process decides by itself in the mode `local`, and by the limit.
                let (code, told) = match mode {
                    OnError::Local => (Code::ResourceExhausted, "Limit of 2 per 60s reached"),
                    _ => (Code::Unavailable, "The limit of this request cannot be checked"),
                };
                assert_eq!(status.code(), code, "{kind} {mode}");
                assert!(status.message().starts_with(told), "{kind} {mode}: {status}");
                assert!(retry_delay(&status) >= Some(Duration::from_secs(1)), "{kind} {mode}");
            }
            assert_eq!(passed, admitted, "{kind} {mode}");
        }
    }
}
