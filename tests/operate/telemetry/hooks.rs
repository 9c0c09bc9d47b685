//! The limiter's own hooks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tollgate::{
    Limiter, LimiterBuilder, MemoryBackend, Policy, Quota, RateLimited, rate_limit, testing,
};

use support::{local, status};

const HOUR: Duration = Duration::from_secs(3_600);

type Log = Arc<Mutex<Vec<String>>>;

/// Writes down what `on_blocked` is told.
fn blocked(builder: LimiterBuilder) -> (Limiter, Log) {
    let log = Log::default();
    let told = Arc::clone(&log);
    let limiter = builder.on_blocked(move |blocked| {
        let path = blocked.request().map_or("-", |parts| parts.uri.path());
        let decision = blocked.decision();
        told.lock().unwrap().push(format!(
            "{} {} {path} {} {} {}",
            blocked.policy().name(),
            blocked.subject(),
            decision.remaining(),
            decision.retry_after().is_some(),
            blocked.is_shadow(),
        ));
    });
    (limiter.build(), log)
}

#[rate_limit(1, per = hour, name = "hooked")]
async fn handler() {}

#[rate_limit(1, per = hour, key = args(who), name = "call")]
async fn call(who: &str) -> Result<(), RateLimited> {
    let _ = who;
    Ok(())
}

#[rate_limit(1, per = hour, key = args(who), name = "sync_shadow", shadow)]
fn sync_shadow(who: &str) -> Result<(), RateLimited> {
    let _ = who;
    Ok(())
}

#[rate_limit(1, per = hour, key = args(who), name = "patient", wait = "1s")]
async fn patient(who: &str) -> Result<(), RateLimited> {
    let _ = who;
    Ok(())
}

#[tokio::test]
async fn every_refusal_is_told_once_whoever_asked() {
    let (limiter, log) = blocked(Limiter::builder(MemoryBackend::new()));
    let router = local(Router::new().route("/path", get(handler)), &limiter);
    for _ in 0..2 {
        let _ = status(&router, support::get("/path")).await;
    }
    testing::scope(limiter.clone(), async {
        for _ in 0..2 {
            let _ = call("bob").await;
            let _ = sync_shadow("eve");
            let _ = patient("joe").await;
        }
    })
    .await;
    let policy = Policy::new("direct", Quota::new(1, HOUR));
    for _ in 0..2 {
        let _ = limiter.check(&policy, "s").await.unwrap();
    }
    let _ = limiter.check_now(&policy, "now", 2).unwrap().unwrap();
    let _ = limiter.wait(&policy, "s", 1, Duration::ZERO).await.unwrap();
    let _ = limiter.peek(&policy, "s", 1).await.unwrap();
    let told = log.lock().unwrap();
    let expected = [
        "hooked 192.0.2.1 /path 0 true false",
        "call bob - 0 true false",
        "sync_shadow eve - 0 true true",
        "patient joe - 0 true false",
        "direct s - 0 true false",
        "direct now - 1 false false",
        "direct s - 0 true false",
    ];
    assert_eq!(*told, expected);
}

#[tokio::test]
async fn who_comes_near_a_limit_is_told_of_by_the_chosen_part() {
    for (part, from) in [(None, 19), (Some(0.5), 11), (Some(0.0), 21)] {
        let log = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&log);
        let mut builder = Limiter::builder(MemoryBackend::new()).on_near_limit(move |near| {
            let limit = near.quota().limit();
            let told_of = (near.policy().name().to_owned(), near.subject().to_owned());
            told.lock().unwrap().push((told_of, limit, near.remaining()));
        });
        if let Some(part) = part {
            builder = builder.near_limit(part);
        }
        let limiter = builder.build();
        let policy = Policy::new("p", Quota::new(1_000, HOUR)).and(Quota::new(20, HOUR));
        for _ in 0..25 {
            let _ = limiter.check(&policy, "bob").await.unwrap();
        }
        let expected: Vec<_> = (from..=20)
            .map(|admitted| (("p".to_owned(), "bob".to_owned()), 20, 20 - admitted))
            .collect();
        assert_eq!(*log.lock().unwrap(), expected, "{part:?}");
    }
}
