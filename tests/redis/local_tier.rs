//! The local tier before a real server.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;
use tokio::task::JoinSet;
use tollgate::testing::ManualClock;
use tollgate::{
    Algorithm, Clock as _, Limiter, LocalTier, Outcome, Policy, Quota, RedisBackend, Source,
};

use crate::timed::{PATIENCE, runtime};
use support::redis::{RedisServer, eventually};
use support::reference::{Numbers, START, cases, for_all_six, quotas};
use support::scaled;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// So long that nothing comes back while a test runs.
const LONG: Duration = Duration::from_secs(300 * 24 * 3_600);

/// A limiter on a server, both on this clock.
fn limiter(server: &RedisServer, clock: &ManualClock, tier: LocalTier) -> Limiter {
    let backend = RedisBackend::builder(&server.url()).virtual_time(clock.clone());
    let backend = backend.deadline(PATIENCE).build().unwrap();
    Limiter::builder(backend).clock(clock.clone()).local_tier(tier).build()
}

fn clock() -> ManualClock {
    let clock = ManualClock::new();
    clock.set_micros(START);
    clock
}

#[test]
fn who_hammers_reaches_the_server_once_an_age() {
    let (server, clock) = (RedisServer::start(), clock());
    let limiter = limiter(&server, &clock, LocalTier::deny_cache());
    let policy = Policy::new("p", Quota::new(1, MINUTE));
    runtime().block_on(async {
        assert!(limiter.check(&policy, "s").await.unwrap().is_allowed());
        assert!(!limiter.check(&policy, "s").await.unwrap().is_allowed());
        let before = server.calls("evalsha");
        let pause = Duration::from_micros(MINUTE.as_micros() as u64 / 20_000);
        for _ in 0..20_000 {
            assert!(!limiter.check(&policy, "s").await.unwrap().is_allowed());
            clock.advance(pause);
        }
        let calls = server.calls("evalsha") - before;
        println!("20,000 checks in a window of 60 ages: {calls} calls");
        assert!(calls <= 60, "{calls}");
        assert!(limiter.check(&policy, "s").await.unwrap().is_allowed());
    });
}

/// Several instances, against one that asks the server each time.
fn refuses_as_the_server(algorithm: Algorithm) {
    let (server, clock) = (RedisServer::start(), clock());
    let alone = limiter(&server, &clock, LocalTier::none());
    let instances = [(); 2].map(|()| limiter(&server, &clock, LocalTier::deny_cache()));
    let (runtime, case, cached) = (runtime(), Cell::new(0), Cell::new(0));
    let steps = prop::collection::vec((0_usize..2, 0_u32..6, any::<bool>(), 0_u64..300_000), 1..40);
    proptest!(cases(30, 1_000), |(numbers in quotas(algorithm), steps in steps)| {
        let policy = Numbers::policy(algorithm, &numbers);
        case.set(case.get() + 1);
        let subject = format!("subject {}", case.get());
        let mut retry_at = 0;
        for (instance, cost, again, micros) in steps {
            if again && retry_at > clock.now_micros() {
                clock.set_micros(retry_at.min(clock.now_micros() + 2_000_000));
            }
            let (alone, decision) = runtime.block_on(async {
                let alone = alone.peek(&policy, &subject, cost).await.unwrap();
                (alone, instances[instance].check_cost(&policy, &subject, cost).await.unwrap())
            });
            match (decision.outcome(), alone.outcome()) {
                (Outcome::Refused { retry_after }, Outcome::Refused { retry_after: latest }) => {
                    retry_at = clock.now_micros() + retry_after.as_micros() as u64;
                    prop_assert!(retry_after <= latest && retry_after > Duration::ZERO);
                }
                (outcome, alone) => prop_assert_eq!(outcome, alone),
            }
            cached.set(cached.get() + u32::from(decision.source() == Source::DenyCache));
            clock.advance(Duration::from_micros(micros / 3 * u64::from(micros % 3 == 0)));
        }
    });
    let cached = cached.get();
    println!("{algorithm:?}: {cached} refusals from the cache");
    assert!(cached > 0, "the cache was never asked");
}

for_all_six!(refuses_as_the_server);

#[test]
fn a_hot_key_is_leased_and_closing_returns_it() {
    let (server, clock) = (RedisServer::start(), clock());
    let watcher = limiter(&server, &clock, LocalTier::none());
    let limiter = limiter(&server, &clock, LocalTier::deny_cache().lease(100));
    let (limit, checks) = (10_000_000, scaled(10_000, 200_000));
    let policy = Policy::new("p", Quota::new(limit, HOUR));
    runtime().block_on(async {
        // What the server holds itself, by its own word.
        let used = async || limit - watcher.peek(&policy, "s", 0).await.unwrap().remaining();
        limiter.initialize().await.unwrap();
        let before = server.calls("evalsha");
        for _ in 0..checks {
            assert!(limiter.check(&policy, "s").await.unwrap().is_allowed());
            clock.advance(Duration::from_micros(100));
        }
        let calls = server.calls("evalsha") - before;
        let share = calls as f64 / f64::from(checks);
        println!("{checks} checks took {calls} round trips: {share:.4} a check");
        assert!(share <= 0.1, "{share}");
        let mut spent = checks;
        while used().await < spent + 20 {
            assert!(limiter.check(&policy, "s").await.unwrap().is_allowed());
            spent += 1;
        }
        limiter.close().await;
        assert_eq!(used().await, spent);
    });
}

/// Threads of several instances take all there is of one key.
#[test]
fn instances_that_lease_admit_what_they_charge() {
    let server = RedisServer::start();
    let backend = || RedisBackend::builder(&server.url()).deadline(PATIENCE).build().unwrap();
    let limit = scaled(5_000, 200_000);
    let (runtime, tier) = (runtime(), LocalTier::deny_cache().lease(50));
    for &algorithm in Algorithm::ALL {
        let policy =
            Policy::named(algorithm.as_str(), Quota::new(limit, LONG)).algorithm(algorithm);
        let before = server.calls("evalsha");
        let (admitted, used) = runtime.block_on(async {
            let instances =
                [(); 3].map(|()| Limiter::builder(backend()).local_tier(tier.clone()).build());
            let mut tasks = JoinSet::new();
            for task in 0..48 {
                let (limiter, policy) = (instances[task % 3].clone(), policy.clone());
                tasks.spawn(async move {
                    let mut admitted = 0;
                    while limiter.check(&policy, "s").await.unwrap().is_allowed() {
                        admitted += 1;
                        tokio::task::yield_now().await;
                    }
                    admitted
                });
            }
            let admitted = tasks.join_all().await.into_iter().sum::<u32>();
            for limiter in &instances {
                limiter.close().await;
            }
            let watcher = Limiter::builder(backend()).local_tier(LocalTier::none()).build();
            (admitted, limit - watcher.peek(&policy, "s", 0).await.unwrap().remaining())
        });
        let calls = server.calls("evalsha") - before;
        println!("{algorithm:?}: {admitted} of {limit} admitted in {calls} calls");
        assert_eq!(admitted, used, "{algorithm:?}");
        // Who is refused once does not come again here, though something may have come back.
        assert!(admitted <= limit && admitted > limit - 3 * 50, "{algorithm:?}: {admitted}");
    }
}

const FROZEN: Policy = Policy::new("frozen", Quota::new(100_000, HOUR));
const HOLD: Duration = Duration::from_secs(1);

/// Another process that leases, and does what it is told line by line.
struct Other {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Other {
    fn start(url: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["local_tier::the_other_process", "--exact", "--ignored", "--nocapture"])
            .env("TOLLGATE_TEST_URL", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, orders, answers }
    }

    fn order(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "it has ended");
            if let Some(answer) = line.trim().strip_prefix("answer ") {
                return answer.to_owned();
            }
        }
    }

    fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the test below runs it, as a process that it stops"]
fn the_other_process() {
    let url = std::env::var("TOLLGATE_TEST_URL").unwrap();
    let backend = RedisBackend::builder(&url).deadline(PATIENCE).build().unwrap();
    let tier = LocalTier::deny_cache().lease(50).hold(HOLD);
    let limiter = Limiter::builder(backend).local_tier(tier).build();
    let runtime = runtime();
    let check = || runtime.block_on(limiter.check(&FROZEN, "s")).unwrap();
    for order in std::io::stdin().lines() {
        match order.unwrap().as_str() {
            // Until the first of a lease has been spent.
            "lease" => {
                let (mut spent, mut before, mut last) = (0, Source::Store, Source::Store);
                while spent < 40 || [before, last] != [Source::Store, Source::Lease] {
                    (before, last) = (last, check().source());
                    spent += 1;
                }
                println!("answer {spent}");
            }
            "check" => {
                let decision = check();
                assert!(decision.is_allowed());
                println!("answer {:?}", decision.source());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_process_that_was_stopped_spends_no_lease_of_before() {
    let server = RedisServer::start();
    let backend = RedisBackend::builder(&server.url()).deadline(PATIENCE).build().unwrap();
    let watcher = Limiter::builder(backend).local_tier(LocalTier::none()).build();
    let runtime = runtime();
    let used = || {
        let peeked = runtime.block_on(watcher.peek(&FROZEN, "s", 0)).unwrap();
        FROZEN.quotas()[0].limit() - peeked.remaining()
    };
    let mut other = Other::start(&server.url());
    let spent: u32 = other.order("lease").parse().unwrap();
    other.freeze(true);
    let idle = used() - spent;
    assert!(idle > 0, "nothing is leased");
    // Real time, for it is a real process that stands still in it.
    std::thread::sleep(HOLD * scaled(2, 60));
    assert_eq!(used(), spent + idle);
    other.freeze(false);
    // It answers within its deadline, or it would not answer.
    assert_eq!(other.order("check"), "Store");
    eventually("what was left has come back", || used() == spent + 1);
}
