//! Waiting for a turn works on Redis, too, and so does what the environment says.

use std::future::poll_fn;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Limiter, LocalTier, Override, Overrides, Policy, Quota, RedisBackend};

use crate::timed::{PATIENCE, Timed, runtime};
use support::line::{self, Case, Crowd, Plan, Waiter, line_limiter, play};
use support::redis::RedisServer;
use support::reference::{START, cases, for_all_six};
use support::subject::Store;

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
        let hourly = Policy::new("hourly", Quota::new(1, Duration::from_secs(3_600)));
        assert!(limiter.wait(&hourly, "s", 1, Duration::ZERO).await.unwrap().is_allowed());
        let hopeless = limiter.wait(&hourly, "s", 1, Duration::ZERO).await.unwrap();
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

/// A limiter on a server, for one line, on a clock that stands until it is set.
struct Lined<'a> {
    runtime: &'a Runtime,
    limiter: Limiter,
    clock: ManualClock,
    plan: Plan,
}

impl<'a> Lined<'a> {
    fn of(case: &Case, url: &str, runtime: &'a Runtime) -> Self {
        let (clock, plan) = (ManualClock::new(), Arc::default());
        clock.set_micros(START);
        let backend = RedisBackend::builder(url).virtual_time(clock.clone()).deadline(PATIENCE);
        // What the server decides is looked at, so nobody else is to decide.
        let builder = Limiter::builder(backend.build().unwrap()).local_tier(LocalTier::none());
        let limiter = line_limiter(builder.clock(clock.clone()), case, &plan);
        Self { runtime, limiter, clock, plan }
    }
}

impl Store for Lined<'_> {
    fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

fn queues_as_the_model(algorithm: Algorithm) {
    let (server, runtime) = (RedisServer::start(), runtime());
    let next = AtomicU32::new(0);
    proptest!(cases(12, 400), |(case in line::cases(algorithm, 40))| {
        let subject = format!("subject {}", next.fetch_add(1, Ordering::Relaxed));
        let store = Lined::of(&case, &server.url(), &runtime);
        let policy = line::policy(case.algorithm, &case.numbers);
        let mut crowd = Crowd::new(&store, &case, &policy, &subject, &store.plan);
        prop_assert_eq!(play(&mut crowd, &case), Ok(()));
        drop(crowd);
        runtime.block_on(store.limiter.close());
    });
}

for_all_six!(queues_as_the_model);

/// The deny cache repeats no refusal to those who are woken, and checks do not overtake them.
#[test]
fn the_line_moves_behind_the_deny_cache() {
    let (server, runtime) = (RedisServer::start(), runtime());
    let policy = Policy::new("line", Quota::per_minute(10));
    for happening in ["refund", "reset", "raised", "off"] {
        let clock = ManualClock::new();
        let backend = RedisBackend::builder(&server.url()).virtual_time(clock.clone());
        let builder = Limiter::builder(backend.deadline(PATIENCE).build().unwrap());
        let limiter = builder.clock(clock.clone()).declare(policy.clone()).build();
        let check = || runtime.block_on(limiter.check(&policy, happening)).unwrap();
        let all = limiter.check_cost(&policy, happening, 10);
        let all = runtime.block_on(all).unwrap();
        assert!(all.is_allowed() && !check().is_allowed());
        let second = Duration::from_secs(1);
        let wait = |patience| limiter.wait(&policy, happening, 1, patience * second);
        let mut line = [120, 30].map(|patience| Some(Waiter::new(wait(patience))));
        let mut run = |left: usize| {
            let is_woken =
                |waiter: &Option<Waiter<'_>>| waiter.as_ref().is_some_and(Waiter::is_woken);
            while let Some(place) = line.iter_mut().find(|waiter| is_woken(waiter)) {
                if let Some(waiter) = place
                    && let Poll::Ready(decision) =
                        runtime.block_on(poll_fn(|_| Poll::Ready(waiter.poll())))
                {
                    assert!(decision.is_allowed(), "{happening}");
                    *place = None;
                }
                // The server has answered all that it was asked before.
                let barrier = limiter.peek(&policy, "barrier", 0);
                assert!(runtime.block_on(barrier).unwrap().is_allowed());
            }
            assert_eq!(line.iter().flatten().count(), left, "{happening}");
        };
        run(2);
        clock.advance(second);
        run(2);
        let overridden = |changes| Overrides::new().with("line", changes);
        match happening {
            "refund" => assert!(runtime.block_on(limiter.refund(all)).unwrap()),
            "reset" => runtime.block_on(limiter.reset(&policy, happening)).unwrap(),
            "raised" => limiter.set_overrides(overridden(Override::new().limit(11))).unwrap(),
            _ => limiter.set_overrides(overridden(Override::new().enabled(false))).unwrap(),
        }
        match happening {
            // There is room for the first in line alone, and a check must leave it that.
            "raised" => {
                assert!(!check().is_allowed());
                assert!(!check().is_allowed());
            }
            _ => assert!(check().is_allowed(), "{happening}: there is room behind the line"),
        }
        if happening == "raised" {
            limiter.set_overrides(overridden(Override::new().limit(12))).unwrap();
        }
        run(0);
        runtime.block_on(limiter.close());
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
