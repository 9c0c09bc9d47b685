//! Functions and other uses: a call holds its permit until its future has ended or is dropped.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use support::limiter;
use tollgate::testing::scope;
use tollgate::{InFlight, Permit, Policy, RateLimited, rate_limit};

#[rate_limit(in_flight = 2, key = args(tenant), name = "imports")]
async fn import(tenant: &str, polls: usize) -> Result<usize, RateLimited> {
    let mut left = polls;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        left = left.saturating_sub(1);
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    Ok(polls)
}

/// The lock of each test is the result of `inner`, so that calls are in flight within each other.
#[rate_limit(in_flight = 2, name = "nested")]
fn nested(depth: u32) -> Result<u32, RateLimited> {
    if depth == 0 { Ok(0) } else { Ok(nested(depth - 1)? + 1) }
}

#[rate_limit(3, per = minute, in_flight = 1, refund_if = failure, key = args(), name = "both")]
async fn both(fails: bool) -> Result<(), Failed> {
    if fails { Err(Failed::Own) } else { Ok(()) }
}

#[derive(Debug)]
enum Failed {
    Own,
    Limited,
}

impl From<RateLimited> for Failed {
    fn from(_: RateLimited) -> Self {
        Self::Limited
    }
}

/// Polls a future once.
async fn once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let mut future = Some(future);
    poll_fn(|context| match future.take().map(|future| future.poll(context)) {
        Some(Poll::Ready(value)) => Poll::Ready(Some(value)),
        _ => Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn a_call_holds_it_until_its_future_has_ended_or_is_dropped() {
    let (limiter, _) = limiter();
    let held = || limiter.stats().in_flight;
    scope(limiter.clone(), async {
        let mut first = Box::pin(import("a", 3));
        let mut second = Box::pin(import("a", 100));
        assert!(once(first.as_mut()).await.is_none() && once(second.as_mut()).await.is_none());
        assert_eq!(held(), 2);
        assert!(import("a", 1).await.is_err());
        assert_eq!(import("b", 1).await.unwrap(), 1);
        assert_eq!(first.await.unwrap(), 3);
        assert_eq!(held(), 1);
        let third = pin!(import("a", 100));
        assert!(once(third).await.is_none());
        drop(second);
        assert_eq!(held(), 1);
    })
    .await;
    assert_eq!(held(), 0);
}

#[tokio::test]
async fn a_plain_function_holds_it_until_it_returns() {
    let (limiter, _) = limiter();
    scope(limiter.clone(), async {
        assert_eq!(nested(1).unwrap(), 1);
        assert!(nested(2).is_err());
        assert_eq!(nested(1).unwrap(), 1);
    })
    .await;
    assert_eq!(limiter.stats().in_flight, 0);
}

#[tokio::test]
async fn beside_a_rate_it_is_one_decision() {
    let (limiter, _) = limiter();
    scope(limiter.clone(), async {
        for _ in 0..10 {
            assert!(matches!(both(true).await, Err(Failed::Own)));
        }
        for _ in 0..3 {
            both(false).await.unwrap();
        }
        assert!(matches!(both(false).await, Err(Failed::Limited)));
    })
    .await;
    assert_eq!(limiter.stats().in_flight, 0);
}

#[tokio::test]
async fn a_permit_is_released_with_its_last_clone() {
    static POLICY: Policy = Policy::in_flight_only("permits", InFlight::new(1));
    let (limiter, _) = limiter();
    let permit = limiter.permit(&POLICY, "a").await.unwrap();
    assert!(!permit.is_empty());
    let clone = permit.clone();
    drop(permit);
    let refused = limiter.permit(&POLICY, "a").await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(std::time::Duration::from_secs(1)));
    assert_eq!(clone.is_empty(), Permit::default().is_empty() && clone.is_empty());
    drop(clone);
    drop(limiter.permit(&POLICY, "a").await.unwrap());
    assert_eq!(limiter.stats().in_flight, 0);
}
