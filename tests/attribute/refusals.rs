//! Refusals of functions in an error type that is not made of a `RateLimited`, such as another crate's.

#![allow(clippy::manual_async_fn, reason = "functions that return futures are the point")]

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use support::limiter;
use tollgate::{RateLimited, rate_limit, testing};

/// Stands for an error of a crate that knows nothing of this one.
#[derive(Debug, PartialEq, Eq)]
struct Status(&'static str, Option<Duration>);

fn busy(limited: RateLimited) -> Status {
    Status("busy", limited.retry_after())
}

fn full(limited: RateLimited) -> Status {
    Status("full", limited.retry_after())
}

fn generic<E: From<io::ErrorKind>>(limited: RateLimited) -> E {
    assert!(limited.decision().is_some());
    io::ErrorKind::WouldBlock.into()
}

#[rate_limit(1, per = minute, key = args(user), refusal = self::busy)]
async fn call(user: u32) -> Result<u32, Status> {
    Ok(user)
}

#[rate_limit(1, per = minute, refusal = self::busy)]
fn call_now() -> Result<u32, Status> {
    Ok(1)
}

#[rate_limit(1, per = minute, refusal = self::generic::<io::Error>)]
fn read() -> io::Result<u32> {
    Ok(1)
}

#[rate_limit(2, per = minute, key = args(user), refusal = self::busy)]
#[rate_limit(3, per = minute, key = args(), refusal = self::full)]
async fn of_two_limits(user: u32) -> Result<impl std::fmt::Debug + PartialEq<u32>, Status> {
    Ok(user)
}

/// Made of a `RateLimited` where no function makes it.
#[derive(Debug, PartialEq, Eq)]
enum OwnError {
    Plain,
    Made,
}

impl From<RateLimited> for OwnError {
    fn from(_: RateLimited) -> Self {
        Self::Plain
    }
}

impl OwnError {
    fn made(_: RateLimited) -> Self {
        Self::Made
    }
}

#[rate_limit(2, per = minute, key = args(user))]
#[rate_limit(3, per = minute, key = args(), refusal = OwnError::made)]
fn of_one_limit_of_two(user: u32) -> Result<u32, OwnError> {
    Ok(user)
}

/// A service whose trait fixes the error, as those of gRPC do.
trait Service {
    fn answer<'a>(
        &'a self,
        user: u32,
    ) -> Pin<Box<dyn Future<Output = Result<u32, Status>> + Send + 'a>>;

    fn send(&self, user: u32) -> impl Future<Output = Result<u32, Status>> + Send;
}

struct Server;

impl Service for Server {
    #[rate_limit(1, per = minute, key = args(user), refusal = self::busy)]
    fn answer<'a>(
        &'a self,
        user: u32,
    ) -> Pin<Box<dyn Future<Output = Result<u32, Status>> + Send + 'a>> {
        Box::pin(async move { Ok(user) })
    }

    #[rate_limit(1, per = minute, key = args(user), refusal = self::busy)]
    fn send(&self, user: u32) -> impl Future<Output = Result<u32, Status>> + Send {
        async move { Ok(user) }
    }
}

const IN_A_MINUTE: Option<Duration> = Some(Duration::from_secs(60));

#[tokio::test]
async fn the_users_function_makes_the_error() {
    testing::scope(limiter().0, async {
        let busy = || Err(Status("busy", IN_A_MINUTE));
        assert_eq!([call(7).await, call(7).await, call(8).await], [Ok(7), busy(), Ok(8)]);
        assert_eq!([call_now(), call_now()], [Ok(1), busy()]);
        assert_eq!(read().unwrap(), 1);
        assert_eq!(read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!([Server.answer(7).await, Server.answer(7).await], [Ok(7), busy()]);
        assert_eq!([Server.send(7).await, Server.send(7).await], [Ok(7), busy()]);
    })
    .await;
}

/// With limits on different keys, that of the limit that refuses. A limit without one makes the error by
/// `From`.
#[tokio::test]
async fn each_limit_has_its_own() {
    testing::scope(limiter().0, async {
        for user in [1, 1] {
            assert!(of_two_limits(user).await.unwrap() == user);
        }
        assert_eq!(of_two_limits(1).await.map(|_| ()), Err(Status("busy", IN_A_MINUTE)));
        assert!(of_two_limits(2).await.is_ok());
        assert_eq!(of_two_limits(3).await.map(|_| ()), Err(Status("full", IN_A_MINUTE)));

        assert_eq!([1, 1].map(of_one_limit_of_two), [Ok(1), Ok(1)]);
        assert_eq!(of_one_limit_of_two(1), Err(OwnError::Plain));
        assert_eq!([2, 3].map(of_one_limit_of_two), [Ok(2), Err(OwnError::Made)]);
    })
    .await;
}
