//! Callers and runtimes that go away.

use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};
use tollgate::{Limiter, LocalTier, MemoryBackend, Policy, Quota, RedisBackend};

use crate::timed::PATIENCE;
use support::redis::RedisServer;

const LIMIT: u32 = 1_000;
const POLICY: Policy = Policy::new("given up", Quota::new(LIMIT, Duration::from_secs(86_400)));

fn limiter(server: &RedisServer) -> Limiter {
    let url = server.url();
    Limiter::new(RedisBackend::builder(&url).deadline(PATIENCE).build().unwrap())
}

fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn check(limiter: &Limiter) -> JoinHandle<bool> {
    let limiter = limiter.clone();
    tokio::spawn(async move { limiter.check(&POLICY, "s").await.unwrap().is_allowed() })
}

/// Lets every task of the one thread do all that it can do without the server.
async fn settle() {
    for _ in 0..200 {
        yield_now().await;
    }
}

/// A server that stands still; one check that has been sent to it, and 255 that wait.
async fn in_the_air(server: &RedisServer, limiter: &Limiter) -> Vec<JoinHandle<bool>> {
    limiter.initialize().await.unwrap();
    server.freeze(true);
    let sent = || limiter.stats().redis.unwrap().checks;
    let before = sent();
    let mut checks = vec![check(limiter)];
    // Another thread sends it.
    while sent() == before {
        yield_now().await;
    }
    checks.extend((0..255).map(|_| check(limiter)));
    settle().await;
    checks
}

async fn used(limiter: &Limiter) -> u32 {
    LIMIT - limiter.peek(&POLICY, "s", 0).await.unwrap().remaining()
}

#[test]
fn the_one_that_leads_is_charged_and_so_are_the_others() {
    let server = RedisServer::start();
    let limiter = limiter(&server);
    one_thread().block_on(async {
        let checks = in_the_air(&server, &limiter).await;
        let mut checks = checks.into_iter();
        checks.next().unwrap().abort();
        settle().await;
        server.freeze(false);
        for check in checks {
            assert!(check.await.unwrap());
        }
        assert_eq!(used(&limiter).await, 256);
    });
}

#[test]
fn those_that_gave_up_before_they_were_sent_are_not_charged() {
    let server = RedisServer::start();
    let limiter = limiter(&server);
    one_thread().block_on(async {
        let mut checks = in_the_air(&server, &limiter).await;
        let last = checks.pop().unwrap();
        for check in &checks {
            check.abort();
        }
        settle().await;
        server.freeze(false);
        assert!(last.await.unwrap());
        assert_eq!(used(&limiter).await, 2, "the first, which had been sent, and the last");
    });
}

/// Checks that were to bring permits: after so many polls, before and after the server answered.
#[test]
fn what_a_dropped_check_was_to_bring_is_not_lost() {
    let server = RedisServer::start();
    for (number, frozen) in (0..12).map(|number| (number, number % 2 == 0)) {
        let backend = RedisBackend::builder(&server.url()).deadline(PATIENCE).build().unwrap();
        let limiter =
            Limiter::builder(backend).local_tier(LocalTier::none().lease(50)).instances(1).build();
        let subject = number.to_string();
        one_thread().block_on(async {
            let mut told = 0;
            for _ in 0..20 {
                told += u32::from(limiter.check(&POLICY, &subject).await.unwrap().is_allowed());
            }
            while let Some(decision) = limiter.check_now(&POLICY, &subject, 1) {
                told += u32::from(decision.unwrap().is_allowed());
            }
            server.freeze(frozen);
            let brings = {
                let (limiter, subject) = (limiter.clone(), subject.clone());
                tokio::spawn(async move { limiter.check(&POLICY, &subject).await.is_ok() })
            };
            for _ in 0..number * 3 {
                yield_now().await;
            }
            brings.abort();
            told += u32::from(brings.await.unwrap_or(false));
            server.freeze(false);
            limiter.close().await;
            let reader = self::limiter(&server);
            let left = reader.peek(&POLICY, &subject, 0).await.unwrap().remaining();
            assert_eq!(LIMIT - left, told, "{number}");
        });
    }
}

/// Limiters of one Redis refund each other's decisions; one of a memory does not.
#[test]
fn decisions_of_one_redis_are_refunded_by_all_its_limiters() {
    let server = RedisServer::start();
    let [one, other] = [limiter(&server), limiter(&server)];
    let memory = Limiter::new(MemoryBackend::new());
    one_thread().block_on(async {
        let charge = async |limiter: &Limiter| limiter.check(&POLICY, "s").await.unwrap();
        let (first, second) = (charge(&one).await, charge(&one).await);
        let in_memory = charge(&memory).await;
        assert!(!memory.refund(first).await.unwrap());
        assert!(!one.refund(in_memory).await.unwrap());
        assert_eq!((used(&one).await, used(&memory).await), (2, 1));
        assert!(other.refund(second).await.unwrap());
        assert_eq!(used(&one).await, 1);
    });
}

#[test]
fn runtimes_one_after_the_other() {
    let server = RedisServer::start();
    let limiter = limiter(&server);
    for run in 0..5 {
        one_thread().block_on(async {
            assert!(limiter.check(&POLICY, "s").await.unwrap().is_allowed());
            assert_eq!(used(&limiter).await, run + 1);
        });
    }
}

#[test]
fn who_waits_for_a_runtime_that_is_gone_is_told() {
    let server = RedisServer::start();
    let limiter = limiter(&server);
    let (first, second) = (one_thread(), one_thread());
    let checks = first.block_on(in_the_air(&server, &limiter));
    second.block_on(async {
        // Behind the flight of the other runtime.
        let waiting = check_quietly(&limiter);
        settle().await;
        drop(checks);
        std::thread::spawn(move || drop(first)).join().unwrap();
        let error = waiting.await.unwrap().unwrap_err();
        assert!(error.contains("did not act"), "{error}");
        server.freeze(false);
        assert!(check(&limiter).await.unwrap());
        let used = used(&limiter).await;
        assert_eq!(used, 2, "what had been sent, and the last");
    });
}

fn check_quietly(limiter: &Limiter) -> JoinHandle<Result<(), String>> {
    let limiter = limiter.clone();
    tokio::spawn(async move {
        match limiter.check(&POLICY, "s").await {
            Ok(_) => Ok(()),
            Err(error) => Err(std::error::Error::source(&error).unwrap().to_string()),
        }
    })
}
