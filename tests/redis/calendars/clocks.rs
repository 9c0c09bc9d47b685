//! The server's time says which window it is, whatever the clock of the process shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tollgate::backend::{Answer, Operation};
use tollgate::testing::ManualClock;
use tollgate::{
    Algorithm, Backend as _, Calendar, Check, Clock, InFlight, Limiter, LocalTier, Outcome, Policy,
    Quota, RedisBackend,
};

use crate::timed::{PATIENCE, Timed, runtime};
use support::almanac::{Almanac, ZONES};
use support::calendar_traces::decides_as_the_model;
use support::redis::{RedisCluster, RedisServer};
use support::reference::{DAY, cases, micros};
use support::subject::Store;

const MINUTE: i64 = 60_000_000;
const DAYS: i64 = DAY as i64;
/// By how much the clock of the process is ahead of the server's.
const DISTANCES: [i64; 13] = [
    0,
    MINUTE,
    -MINUTE,
    90 * MINUTE,
    -90 * MINUTE,
    DAYS,
    -DAYS,
    3 * DAYS,
    -3 * DAYS,
    366 * DAYS,
    -366 * DAYS,
    40 * 366 * DAYS,
    -40 * 366 * DAYS,
];

/// Noon in UTC, on the last day of October 2025 in some zones and the first of November in others.
const AT: u64 = 1_761_955_200_000_000;

fn policy(almanac: Almanac, limit: u32) -> Policy {
    Policy::new("policy", almanac.quota(limit)).algorithm(Algorithm::FixedWindow)
}

fn backend(url: &str) -> RedisBackend {
    RedisBackend::builder(url).deadline(PATIENCE).build().unwrap()
}

fn limiter(backend: RedisBackend, clock: impl Clock) -> Limiter {
    Limiter::builder(backend).clock(clock).local_tier(LocalTier::none()).build()
}

/// One check is one call, but for the one that finds the clocks apart.
#[test]
fn a_process_whose_clock_is_wrong_counts_by_the_servers() {
    let timed = Timed::start();
    let mut asked_again = 0;
    // The script is sent with the first check.
    let _ = timed.check(&Policy::new("first", Quota::per_hour(1)), "s", 1);
    for almanac in Almanac::all() {
        for distance in DISTANCES {
            let (clock, policy) = (ManualClock::new(), policy(almanac, 9));
            let on_redis = RedisBackend::builder(&timed.server.url());
            let on_redis = on_redis.virtual_time(timed.clock.clone()).deadline(PATIENCE);
            let limiter = limiter(on_redis.build().unwrap(), clock.clone());
            let subject = timed.subject();
            let (mut now, mut extra) = (AT, 0);
            for window in 0..3 {
                let (_, end) = almanac.window(now);
                for (index, instant) in
                    [now, now + (end - now) / 2, end - 1].into_iter().enumerate()
                {
                    timed.clock.set_micros(instant);
                    clock.set_micros(instant.checked_add_signed(distance).unwrap());
                    let before = timed.server.calls("evalsha");
                    let decision =
                        timed.runtime.block_on(limiter.check(&policy, &subject)).unwrap();
                    let calls = timed.server.calls("evalsha") - before;
                    let context = || format!("{almanac:?} by {distance} in window {window}");
                    assert_eq!(decision.remaining(), 8 - index as u32, "{}", context());
                    let reset_after = decision.quotas()[0].reset_after();
                    assert_eq!(micros(reset_after), end - instant, "{}", context());
                    extra += calls - 1;
                    let most = u64::from(distance != 0);
                    assert!(extra <= most, "{calls} calls: {}", context());
                }
                now = end;
            }
            asked_again += extra;
        }
    }
    assert!(asked_again > 60, "{asked_again}");
}

/// A clock that is another one each time it is asked.
struct Wrong {
    clock: ManualClock,
    asked: AtomicUsize,
}

impl Clock for Wrong {
    fn now_micros(&self) -> u64 {
        let distance = DISTANCES[self.asked.fetch_add(1, Ordering::Relaxed) % DISTANCES.len()];
        self.clock.now_micros().saturating_add_signed(distance)
    }
}

/// The same server, asked by a process that never knows the time.
struct Lost<'a> {
    timed: &'a Timed,
    limiter: Limiter,
}

impl Store for &Lost<'_> {
    fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    fn clock(&self) -> &ManualClock {
        &self.timed.clock
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.timed.runtime.block_on(future)
    }
}

#[test]
fn decides_as_the_model_whatever_the_process_believes() {
    let timed = Timed::start();
    let on_redis = RedisBackend::builder(&timed.server.url());
    let on_redis = on_redis.virtual_time(timed.clock.clone()).deadline(PATIENCE).build().unwrap();
    let clock = Wrong { clock: timed.clock.clone(), asked: AtomicUsize::new(0) };
    let lost = Lost { timed: &timed, limiter: limiter(on_redis, clock) };
    decides_as_the_model(cases(40, 2_000), || (&lost, timed.subject()));
}

/// By the time that the server has itself.
#[test]
fn the_servers_own_time_decides() {
    let server = RedisServer::start();
    let runtime = runtime();
    let now = || {
        let (seconds, micros): (u64, u64) = server.ask("TIME");
        seconds * 1_000_000 + micros
    };
    for distance in DISTANCES {
        let clock = ManualClock::new();
        clock.set_micros(now().checked_add_signed(distance).unwrap());
        let limiter = limiter(backend(&server.url()), clock);
        for almanac in Almanac::all() {
            let subject = distance.to_string();
            let policy = Policy::named(format!("{almanac:?}"), almanac.quota(3))
                .algorithm(Algorithm::FixedWindow);
            let before = now();
            let decision = runtime.block_on(limiter.check(&policy, &subject)).unwrap();
            let after = now();
            assert_eq!(decision.remaining(), 2);
            // The bound may pass meanwhile.
            let ends = [before, after].map(|at| almanac.window(at).1);
            let told = micros(decision.quotas()[0].reset_after());
            assert!((ends[0] - after..=ends[1] - before).contains(&told), "{almanac:?} {distance}");
        }
    }
}

/// Checks that lack windows are asked again together, and those beside them not at all.
#[test]
fn a_batch_is_charged_once() {
    let server = RedisServer::start();
    // The process of a backend without a limiter has the machine's clock.
    let clock = ManualClock::new();
    clock.set_micros(AT - 3 * 366 * DAY);
    let on_redis = RedisBackend::builder(&server.url()).virtual_time(clock);
    let on_redis = on_redis.deadline(PATIENCE).build().unwrap();
    let plain = Policy::new("plain", Quota::per_hour(100));
    let policies: Vec<Policy> = Almanac::all()
        .map(|almanac| Policy::named(format!("{almanac:?}"), almanac.quota(100)))
        .map(|policy| policy.algorithm(Algorithm::FixedWindow))
        .flat_map(|policy| [policy, plain.clone()])
        .collect();
    let runtime = runtime();
    let mut calls = Vec::new();
    for round in 1..=3_u32 {
        let subjects: Vec<String> = (0..policies.len()).map(|index| index.to_string()).collect();
        let operations: Vec<_> = policies
            .iter()
            .zip(&subjects)
            .map(|(policy, subject)| Operation::charge(Check::new(policy, subject, round)))
            .collect();
        let before = server.calls("evalsha");
        let answers = runtime.block_on(on_redis.apply(&operations));
        calls.push(server.calls("evalsha") - before);
        for answer in answers {
            let Answer::Verdict(verdict) = answer.unwrap() else { panic!("no verdict") };
            assert_eq!(verdict.outcome(), Outcome::Allowed);
            assert_eq!(verdict.quotas()[0].remaining(), 100 - round * (round + 1) / 2);
        }
    }
    // Some are deferred, because they are much work.
    println!("{calls:?} calls for {} checks", policies.len());
    assert!(calls.iter().all(|calls| *calls < policies.len() as u64 / 2), "{calls:?}");
}

/// A caller that is alone carries out both calls itself, and one that gives up is charged at most once.
#[test]
fn a_lone_caller_is_charged_once_and_so_is_one_that_gives_up() {
    let server = RedisServer::start();
    let clock = ManualClock::new();
    let limiter = limiter(backend(&server.url()), clock.clone());
    let almanac = Almanac { unit: Calendar::Year, zone: ZONES[1] };
    let policy = policy(almanac, 100_000);
    runtime().block_on(async {
        let used = async || 100_000 - limiter.peek(&policy, "s", 0).await.unwrap().remaining();
        for number in 0..200_u64 {
            let limiter = limiter.clone();
            let policy = policy.clone();
            // The process is in another year from time to time.
            clock.set_micros(AT + number / 20 * 3 * 366 * DAY);
            let check = tokio::spawn(async move { limiter.check(&policy, "s").await.unwrap() });
            assert!(check.await.unwrap().is_allowed());
        }
        assert_eq!(used().await, 200);
        let (mut started, mut ended) = (200, 200);
        for number in 0..200_u64 {
            clock.set_micros(AT + number * 3 * 366 * DAY);
            let check = limiter.check(&policy, "s");
            let patience = Duration::from_micros(number * 3);
            started += 1;
            ended += u32::from(tokio::time::timeout(patience, check).await.is_ok());
        }
        // The last of them have arrived when a check has, which follows them on their way.
        let used = used().await;
        assert!((ended..=started).contains(&used), "{used} of {ended} to {started}");
    });
}

/// Each node has its own clock, and each key is counted by that of its node.
#[test]
fn in_a_cluster_too() {
    let cluster = RedisCluster::start();
    let runtime = runtime();
    let almanac = Almanac { unit: Calendar::Day, zone: "Asia/Kathmandu" };
    let policy = policy(almanac, 5);
    for distance in DISTANCES {
        let (clock, of_servers) = (ManualClock::new(), ManualClock::new());
        of_servers.set_micros(AT);
        clock.set_micros(AT.checked_add_signed(distance).unwrap());
        let on_redis = RedisBackend::builder(&cluster.url()).virtual_time(of_servers.clone());
        let on_redis = on_redis.deadline(PATIENCE).build().unwrap();
        let limiter = Arc::new(limiter(on_redis, clock));
        runtime.block_on(async {
            for round in 0..3 {
                for subject in 0..30 {
                    let subject = format!("{subject} {distance}");
                    let decision = limiter.check(&policy, &subject).await.unwrap();
                    assert_eq!(decision.remaining(), 4 - round);
                    let reset_after = micros(decision.quotas()[0].reset_after());
                    assert_eq!(reset_after, almanac.window(AT).1 - AT);
                }
            }
        });
    }
}

/// A limit of a calendar that also bounds the requests in flight takes no permit before it knows the
/// window.
#[test]
fn permits_are_taken_once() {
    let (server, runtime) = (RedisServer::start(), runtime());
    let almanac = Almanac { unit: Calendar::Month, zone: "Europe/Berlin" };
    let policy = policy(almanac, 3).in_flight(InFlight::new(2));
    for distance in DISTANCES {
        let (clock, of_server) = (ManualClock::new(), ManualClock::new());
        of_server.set_micros(AT);
        clock.set_micros(AT.checked_add_signed(distance).unwrap());
        let on_redis = RedisBackend::builder(&server.url()).virtual_time(of_server);
        let limiter = limiter(on_redis.deadline(PATIENCE).build().unwrap(), clock);
        let subject = distance.to_string();
        runtime.block_on(async {
            let permit = async || limiter.permit(&policy, &*subject).await;
            let first = permit().await.unwrap();
            let second = permit().await.unwrap();
            assert!(permit().await.is_err(), "{distance}");
            drop(first);
            let third = permit().await.unwrap();
            drop((second, third));
            let refused = permit().await.unwrap_err();
            let retry_after = refused.retry_after().map(micros);
            assert_eq!(retry_after, Some(almanac.window(AT).1 - AT), "{distance}");
        });
    }
}
