//! Waiting for a turn works on Redis, too, and so does what the environment says.

use std::process::Command;
use std::time::Duration;

use tollgate::{Algorithm, Limiter, Policy, Quota, RedisBackend};

use crate::timed::{PATIENCE, Timed, runtime};
use support::redis::RedisServer;

#[test]
fn whoever_waits_gets_a_turn() {
    let server = RedisServer::start();
    let url = server.url();
    let limiter = Limiter::new(RedisBackend::builder(&url).deadline(PATIENCE).build().unwrap());
    let policy = Policy::new("wait", Quota::new(20, Duration::from_secs(1)).burst(1))
        .algorithm(Algorithm::Gcra);
    runtime().block_on(async {
        let callers: tokio::task::JoinSet<bool> = (0..10)
            .map(|_| {
                let (limiter, policy) = (limiter.clone(), policy.clone());
                async move { limiter.wait(&policy, "s", 1, PATIENCE).await.unwrap().is_allowed() }
            })
            .collect();
        // There is room for one at a time: the others could only wait for it.
        assert_eq!(callers.join_all().await, [true; 10]);
        let hopeless = limiter.wait(&policy, "s", 1, Duration::ZERO).await.unwrap();
        assert!(!hopeless.is_allowed());
    });
}

/// Where calls leave spaced, who has no time for that changes nothing for others.
#[test]
fn a_hopeless_wait_leaves_the_bucket_as_it_is() {
    let timed = Timed::start();
    let second = Duration::from_secs(1);
    let policy = Policy::new("leaky", Quota::new(3, 3 * second)).algorithm(Algorithm::LeakyBucket);
    (0..3).for_each(|_| assert!(timed.check(&policy, "s", 1).is_allowed()));
    let wait = timed.limiter.wait(&policy, "s", 1, Duration::ZERO);
    assert!(!timed.runtime.block_on(wait).unwrap().is_allowed());
    assert_eq!(timed.check(&policy, "s", 1).retry_after(), Some(second));
}

/// A call leaves when all units before it have leaked, also those beyond its own cost.
#[test]
fn a_call_waits_for_all_units_before_it() {
    let timed = Timed::start();
    let second = Duration::from_secs(1);
    let quota = Quota::new(1, second).burst(20);
    let policy = Policy::new("leaky", quota).algorithm(Algorithm::LeakyBucket);
    for (before, cost) in [(3, 1), (10, 1), (5, 2), (1, 3)] {
        let subject = timed.subject();
        assert!(timed.check(&policy, &subject, before).is_allowed());
        let wait = timed.limiter.wait(&policy, &subject, cost, Duration::ZERO);
        let refused = timed.runtime.block_on(wait).unwrap();
        assert_eq!(refused.retry_after(), Some(second * before), "{before}, then {cost}");
    }
}

#[test]
fn the_environment_names_the_server() {
    let server = RedisServer::start();
    let answer = |url: Option<String>| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["waiting::from_the_environment", "--exact", "--ignored", "--nocapture"]);
        match url {
            Some(url) => child.env("REDIS_URL", url),
            None => child.env_remove("REDIS_URL"),
        };
        String::from_utf8(child.output().unwrap().stdout).unwrap()
    };
    let before = server.calls("evalsha");
    assert!(answer(Some(server.url())).contains("checked: true"));
    assert!(server.calls("evalsha") > before);
    let before = server.calls("evalsha");
    for absent in [None, Some(String::new())] {
        let told = answer(absent);
        assert!(told.contains("checked: true"), "{told}");
        assert!(told.contains("REDIS_URL is not set"), "{told}");
    }
    assert_eq!(server.calls("evalsha"), before);
    assert!(answer(Some("redis://h?x=1".to_owned())).contains("it has no parameter `x`"));
}

#[test]
#[ignore = "the test above runs it, in environments of its own"]
fn from_the_environment() {
    tracing_subscriber::fmt().with_writer(std::io::stdout).init();
    match Limiter::from_env() {
        Ok(limiter) => {
            let policy = Policy::new("env", Quota::new(1, Duration::from_secs(60)));
            let told = runtime().block_on(limiter.check(&policy, "s")).unwrap();
            println!("checked: {}", told.is_allowed());
        }
        Err(error) => println!("{error}"),
    }
}
