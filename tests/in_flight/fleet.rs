//! Several processes on one Redis: together they are never more than the limit, and what a process
//! holds that dies is free when its lease has ended, not before and not later.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::redis::{Fault, Proxy, RedisCluster, RedisServer, eventually};
use support::scaled;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tollgate::{
    InFlight, Limiter, LimiterBuilder, LocalTier, OnError, Permit, Policy, RedisBackend, Source,
};

use super::observer::Observer;
use super::stored;

const PROCESSES: usize = 4;
const TASKS: usize = 50;
const LIMIT: u32 = 20;
/// How often a task asks for a permit at least.
const ROUNDS: usize = 30;
/// The reply of a server on a loaded machine takes its time.
const PATIENCE: Duration = Duration::from_secs(20);

fn policy(hold: Duration) -> Policy {
    Policy::in_flight_only("fleet", InFlight::new(LIMIT).hold(hold))
}

fn builder(url: &str) -> LimiterBuilder {
    let backend = RedisBackend::builder(url).deadline(PATIENCE).build().unwrap();
    Limiter::builder(backend).local_tier(LocalTier::none())
}

/// Another process, which does what it is told line by line.
struct Other {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Other {
    fn start(url: &str, observer: &str, number: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["fleet::the_other_process", "--exact", "--ignored", "--nocapture"])
            .env("TOLLGATE_TEST_URL", url)
            .env("TOLLGATE_TEST_OBSERVER", observer)
            .env("TOLLGATE_TEST_NUMBER", number.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, orders, answers }
    }

    fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "it has ended");
            if let Some(answer) = line.trim().strip_prefix("answer ") {
                return answer.to_owned();
            }
        }
    }

    fn order(&mut self, order: &str) -> String {
        self.tell(order);
        self.answer()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the tests below run it, several times at once"]
fn the_other_process() {
    let variable = |name: &str| std::env::var(format!("TOLLGATE_TEST_{name}")).unwrap();
    let (url, number) = (variable("URL"), variable("NUMBER"));
    let observer = Observer::at(&variable("OBSERVER"), &number);
    let observer = Arc::new(Mutex::new(observer));
    let limiter = builder(&url).build();
    let runtime = Runtime::new().unwrap();
    let mut kept: Vec<Permit> = Vec::new();
    for order in std::io::stdin().lines() {
        let order = order.unwrap();
        let mut words = order.split(' ');
        let (order, rest) = (words.next().unwrap(), words.next());
        match order {
            // Takes and releases permits for so many seconds.
            "work" => {
                let end = Instant::now() + Duration::from_secs(rest.unwrap().parse().unwrap());
                let policy = policy(Duration::from_secs(5));
                let worked = runtime.block_on(work(&limiter, &policy, &observer, end));
                println!("answer {worked}");
            }
            // Takes as many as it gets, and keeps them.
            "take" => {
                let policy = policy(Duration::from_millis(rest.unwrap().parse().unwrap()));
                runtime.block_on(async {
                    while let Ok(permit) = limiter.permit(&policy, "s").await {
                        kept.push(permit);
                    }
                });
                println!("answer {}", kept.len());
            }
            "release" => {
                kept.clear();
                runtime.block_on(limiter.close());
                println!("answer released");
            }
            order => panic!("{order}"),
        }
    }
}

/// Works until `end`, and a few times in any case. Returns how often somebody was at work.
async fn work(
    limiter: &Limiter,
    policy: &Policy,
    observer: &Arc<Mutex<Observer>>,
    end: Instant,
) -> usize {
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (limiter, policy, observer) = (limiter.clone(), policy.clone(), Arc::clone(observer));
        tasks.spawn(async move {
            let mut worked = 0;
            for round in 0.. {
                if round >= ROUNDS && Instant::now() >= end {
                    break;
                }
                // Some wait for a turn, others come again.
                let permit = match (task + round) % 3 {
                    0 => {
                        let wait = limiter.wait(&policy, "s", 1, Duration::from_millis(50));
                        wait.await.unwrap().into_result().ok()
                    }
                    _ => limiter.check(&policy, "s").await.unwrap().into_result().ok(),
                };
                let Some(permit) = permit else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let at_work = observer.lock().unwrap().begins();
                assert!(at_work <= LIMIT, "{at_work} are at work");
                worked += 1;
                tokio::task::yield_now().await;
                observer.lock().unwrap().ends();
                drop(permit);
            }
            worked
        });
    }
    tasks.join_all().await.into_iter().sum()
}

fn together(url: &str) {
    let seen = RedisServer::start();
    let seconds = scaled(0, 60);
    let mut others: Vec<Other> =
        (0..PROCESSES).map(|number| Other::start(url, &seen.url(), number)).collect();
    others.iter_mut().for_each(|other| other.tell(&format!("work {seconds}")));
    let worked: usize =
        others.iter_mut().map(|other| other.answer().parse::<usize>().unwrap()).sum();
    let (most, reports) = Observer::of(&seen, "test").most();
    println!("{worked} times at work, at most {most} at a time, {reports} reports");
    assert!(most <= LIMIT && most > 1, "{most} were at work at a time");
    assert_eq!(reports as usize, 2 * worked);
    assert!(worked > PROCESSES * TASKS, "{worked}");
}

#[test]
fn on_one_server_they_are_never_more_than_the_limit() {
    let server = RedisServer::start();
    together(&server.url());
}

#[test]
fn on_a_cluster_they_are_never_more_than_the_limit() {
    let cluster = RedisCluster::start();
    together(&cluster.url());
}

/// Returns the server's time, and the time at which the lease of a process ends, which has so many
/// permits; `None` if it has none.
fn lease(server: &RedisServer, permits: u32) -> (u64, Option<u64>) {
    let (seconds, micros): (u64, u64) = server.ask("TIME");
    let mut entries = stored::entries(server).into_iter();
    let entry = entries.find(|entry| entry.permits == permits);
    (seconds * 1_000_000 + micros, entry.map(|entry| entry.renewed + entry.hold))
}

/// A process that is killed has renewed its lease at the latest a third of it ago, so its permits are
/// free within the length of a lease, and not before two thirds of it. By the server's clock: what is
/// refused was asked before the end of the lease, and what is admitted after that.
#[tokio::test]
async fn the_permits_of_a_killed_process_are_free_when_its_lease_ends() {
    let hold = Duration::from_millis(1_500);
    let server = RedisServer::start();
    let mut other = Other::start(&server.url(), &server.url(), 1);
    assert_eq!(other.order("take 1500"), LIMIT.to_string());
    // It renews the lease while it lives.
    let (_, first) = lease(&server, LIMIT);
    eventually("the lease is renewed", || lease(&server, LIMIT).1 > first);
    other.child.kill().unwrap();
    other.child.wait().unwrap();
    let (killed, ends) = lease(&server, LIMIT);
    let ends = ends.unwrap();
    assert!(ends > killed && ends <= killed + 1_500_000);
    let limiter = builder(&server.url()).build();
    loop {
        let (before, _) = lease(&server, LIMIT);
        let decision = limiter.check(&policy(hold), "s").await.unwrap();
        let (after, _) = lease(&server, LIMIT);
        if decision.is_allowed() {
            assert!(after >= ends, "{} us too early", ends - after);
            break;
        }
        assert!(before < ends, "{} us too late", before - ends);
    }
    limiter.close().await;
}

/// A process that a partition has cut off for longer than a lease goes on with what it has, and the
/// others get as much again, once. What it has counts again when it is back.
#[test]
fn a_partition_that_is_longer_than_a_lease_gives_the_permits_once_more() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    Runtime::new().unwrap().block_on(async {
        let hold = Duration::from_millis(600);
        let mut other = Other::start(&proxy.url(), &server.url(), 1);
        assert_eq!(other.order("take 600"), LIMIT.to_string());
        proxy.set(Fault::Refuse);
        let limiter = builder(&server.url()).build();
        let policy = policy(hold);
        let mut permits = Vec::new();
        while permits.len() < LIMIT as usize {
            if let Ok(permit) = limiter.permit(&policy, "s").await {
                permits.push(permit);
            }
        }
        // For as long as several leases it is no more than that.
        let (since, _) = lease(&server, LIMIT);
        while lease(&server, LIMIT).0 < since + 1_500_000 {
            assert!(limiter.permit(&policy, "s").await.is_err());
        }
        proxy.set(Fault::None);
        eventually("both have their permits", || stored::permits(&server) == 2 * LIMIT);
        permits.pop();
        assert!(limiter.permit(&policy, "s").await.is_err());
        assert_eq!(other.order("release"), "released");
        permits.push(limiter.permit(&policy, "s").await.unwrap());
        assert!(limiter.permit(&policy, "s").await.is_err());
        drop(permits);
        limiter.close().await;
        assert_eq!(stored::permits(&server), 0);
    });
}

/// A server that has lost everything knows the permits again after the next renewal.
#[tokio::test]
async fn what_a_server_has_lost_is_told_again() {
    let server = RedisServer::start();
    let limiter = builder(&server.url()).build();
    let policy = policy(Duration::from_millis(500));
    let permit = limiter.permit(&policy, "s").await.unwrap();
    let _: () = server.ask("FLUSHALL");
    eventually("it is told again", || stored::permits(&server) == 1);
    drop(permit);
    limiter.close().await;
    assert_eq!(stored::permits(&server), 0);
}

/// Nothing is awaited for a release, and releases and renewals share calls: of 100 permits of ten
/// subjects each renewal is one call.
#[tokio::test]
async fn renewals_and_releases_share_calls() {
    let server = RedisServer::start();
    let limiter = builder(&server.url()).build();
    let checks = || limiter.stats().redis.unwrap().checks;
    let subject = |number: u32| (number % 10).to_string();
    // One call for each that is taken.
    let long = policy(Duration::from_secs(3_600));
    for number in 0..10 {
        drop(limiter.permit(&long, &*subject(number)).await.unwrap());
    }
    let policy = policy(Duration::from_secs(3));
    let mut permits = Vec::new();
    for number in 0..100 {
        permits.push(limiter.permit(&policy, &*subject(number)).await.unwrap());
    }
    assert!(checks() >= 100);
    let trips = || limiter.stats().redis.unwrap().round_trips;
    let before = (checks(), trips());
    eventually("all are renewed twice", || checks() >= before.0 + 20);
    let calls = trips() - before.1;
    assert_eq!(checks() - before.0, 10 * calls, "{calls} calls");
    drop(permits);
    limiter.close().await;
    assert_eq!(limiter.stats().in_flight, 0);
    let keys: Vec<String> = server.ask("KEYS *{*");
    assert_eq!(keys, [""; 0]);
}

/// What the fallback has given counts at the server as soon as that is back, and what the server had
/// given counts in the fallback.
#[test]
fn permits_survive_an_outage_on_both_sides() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    Runtime::new().unwrap().block_on(async {
        let backend = RedisBackend::builder(&proxy.url()).deadline(Duration::from_secs(1));
        let limiter = Limiter::builder(backend.build().unwrap())
            .local_tier(LocalTier::none())
            .instances(4)
            .build();
        let policy = policy(Duration::from_millis(900)).on_error(OnError::Local);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(limiter.check(&policy, "s").await.unwrap());
        }
        proxy.set(Fault::Refuse);
        // The share of one of four is five, three of which are taken.
        for _ in 0..2 {
            let decision = limiter.check(&policy, "s").await.unwrap();
            assert!(decision.is_allowed());
            assert_eq!(decision.source(), Source::Local);
            held.push(decision);
        }
        let refused = limiter.check(&policy, "s").await.unwrap();
        assert_eq!((refused.is_allowed(), refused.source()), (false, Source::Local));
        // One that the server has given ends in the outage, and its place is given again here.
        drop(held.remove(0));
        held.push(limiter.check(&policy, "s").await.unwrap());
        assert!(held.iter().all(tollgate::Decision::is_allowed));
        proxy.set(Fault::None);
        eventually("the server knows all five", || stored::permits(&server) == 5);
        held.truncate(2);
        eventually("the server knows who has ended", || stored::permits(&server) == 2);
        drop(held);
        limiter.close().await;
        assert_eq!((stored::permits(&server), limiter.stats().in_flight), (0, 0));
    });
}

/// A release is known at the server however many checks of the process are on their way all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_known_while_others_ask_without_a_pause() {
    let server = RedisServer::start();
    let limiter = builder(&server.url()).build();
    let policy = policy(Duration::from_secs(3_600));
    let mut held = Vec::new();
    for _ in 0..LIMIT {
        held.push(limiter.permit(&policy, "s").await.unwrap());
    }
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (limiter, policy) = (limiter.clone(), policy.clone());
        tasks.spawn(async move {
            // Each gets one in its time, and goes on to ask until all have had one.
            for _ in 0..3 {
                while limiter.permit(&policy, "s").await.is_err() {}
            }
        });
    }
    // All but one place stays taken, so that most of them are refused.
    held.pop();
    let all = async { while tasks.join_next().await.is_some() {} };
    tokio::time::timeout(PATIENCE * 3, all).await.unwrap();
    drop(held);
    limiter.close().await;
    assert_eq!(stored::permits(&server), 0);
}
