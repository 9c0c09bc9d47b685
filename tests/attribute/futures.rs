//! Limits of functions that return a future and are not `async`: as `#[async_trait]` makes them, and as
//! traits demand them.

#![allow(clippy::manual_async_fn, reason = "functions that return futures are the point")]

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use support::limiter;
use tollgate::{RateLimited, rate_limit, testing};

#[derive(Debug, PartialEq, Eq)]
enum Error {
    Limited,
    Own,
}

impl From<RateLimited> for Error {
    fn from(_: RateLimited) -> Self {
        Self::Limited
    }
}

type Answer = Result<u32, Error>;

#[rate_limit(2, per = minute, key = args(user), refund_if = failure)]
fn boxed(user: u32, answer: Answer) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
    Box::pin(async move {
        let _ = user;
        answer
    })
}

#[rate_limit(2, per = minute, key = args(user), refund_if = failure)]
fn plain(user: u32, answer: Answer) -> impl Future<Output = Answer> {
    async move {
        if user == 0 {
            return Err(Error::Own);
        }
        answer
    }
}

fn came_to(answer: &Answer) -> u32 {
    *answer.as_ref().unwrap_or(&0)
}

#[rate_limit(10, per = minute, key = args(), cost = 4, settle = self::came_to)]
fn settled(answer: u32) -> impl Future<Output = Answer> {
    async move { Ok(answer) }
}

#[rate_limit(1, per = minute, key = args(), wait = "2m")]
fn waits() -> impl Future<Output = Answer> {
    async move { Ok(1) }
}

/// Calls fail five times, which costs nothing, and succeed twice.
macro_rules! counts_successes {
    ($call:ident) => {
        for _ in 0..5 {
            assert_eq!($call(1, Err(Error::Own)).await, Err(Error::Own));
        }
        assert_eq!($call(1, Ok(1)).await, Ok(1));
        assert_eq!($call(1, Ok(2)).await, Ok(2));
        assert_eq!($call(1, Ok(3)).await, Err(Error::Limited));
    };
}

#[tokio::test]
async fn what_a_result_says_is_given_back() {
    testing::scope(limiter().0, async {
        counts_successes!(boxed);
        counts_successes!(plain);
    })
    .await;
}

#[tokio::test]
async fn a_result_settles_the_charge() {
    testing::scope(limiter().0, async {
        assert_eq!(settled(1).await, Ok(1));
        assert_eq!(settled(6).await, Ok(6));
        assert_eq!(settled(1).await, Err(Error::Limited));
    })
    .await;
}

/// A future that nobody polls has asked nothing.
#[tokio::test]
async fn the_limit_is_checked_when_the_future_runs() {
    testing::scope(limiter().0, async {
        let dropped: Vec<_> = (0..5).map(|_| boxed(1, Ok(1))).collect();
        drop(dropped);
        assert_eq!(boxed(1, Ok(1)).await, Ok(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_may_wait() {
    testing::scope(limiter().0, async {
        assert_eq!(waits().await, Ok(1));
        let late = tokio::time::timeout(Duration::from_secs(1), waits()).await;
        assert!(late.is_err(), "{late:?}");
    })
    .await;
}
