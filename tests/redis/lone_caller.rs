//! A caller that is alone carries out its calls itself, and whoever else comes finds all as it was.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, yield_now};
use tollgate::{Limiter, LocalTier, Policy, Quota, RedisBackend};

use crate::timed::{PATIENCE, limiter_at, runtime};
use support::is_left_to_a_process_of_its_own;
use support::redis::{Fault, Proxy, RedisServer, eventually};
use support::scaled;

const LIMIT: u32 = 1_000_000;
const POLICY: Policy = Policy::new("lone", Quota::new(LIMIT, Duration::from_secs(300 * 86_400)));
/// More than enough calls alone for the next one to count as alone.
const MANY: u32 = 40;

fn used(runtime: &Runtime, limiter: &Limiter, subject: &str) -> u32 {
    runtime.block_on(async { LIMIT - limiter.peek(&POLICY, subject, 0).await.unwrap().remaining() })
}

/// Checks a subject so often, one after another, as a task of the runtime. Each answer has to be its
/// own: the subject has one unit less each time.
fn checks(runtime: &Runtime, limiter: &Limiter, subject: &'static str, count: u32) {
    let limiter = limiter.clone();
    let task = async move {
        let mut before = None;
        for _ in 0..count {
            let decision = limiter.check(&POLICY, subject).await.unwrap();
            assert!(decision.is_allowed());
            let left = decision.remaining();
            assert!(before.is_none_or(|before| left == before - 1), "{before:?} {left}");
            before = Some(left);
        }
    };
    runtime.block_on(async { tokio::spawn(task).await.unwrap() });
}

/// The number of tries in which a loaded machine lets things happen as they do on another: a thread
/// that is held up makes a long line of a short one.
const TRIES: u32 = 20;

/// How often the thread of the connections has waited for something to do.
#[cfg(target_os = "linux")]
fn waits_of_the_thread() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let statuses = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")));
    let status = statuses.map(Result::unwrap).find(|it| it.contains("Name:\ttollgate-redis\n"));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn the_thread_of_the_connections_sleeps() {
    let name = "the_thread_of_the_connections_sleeps";
    if is_left_to_a_process_of_its_own(module_path!(), name) {
        return;
    }
    let server = RedisServer::start();
    let limiter = limiter_at(&server.url());
    let one_thread = Builder::new_current_thread().enable_all().build().unwrap();
    for runtime in [runtime(), one_thread] {
        let waits = || {
            checks(&runtime, &limiter, "s", MANY);
            let (before, calls) = (waits_of_the_thread(), server.calls("evalsha"));
            checks(&runtime, &limiter, "s", 500);
            assert_eq!(server.calls("evalsha") - calls, 500);
            waits_of_the_thread() - before
        };
        assert!((0..TRIES).any(|_| waits() < 50));
    }
    // For comparison: two callers at a time go by the thread.
    let runtime = runtime();
    let waits = || {
        let before = waits_of_the_thread();
        std::thread::scope(|scope| {
            for subject in ["a", "b"] {
                let (runtime, limiter) = (&runtime, &limiter);
                scope.spawn(move || checks(runtime, limiter, subject, 500));
            }
        });
        waits_of_the_thread() - before
    };
    assert!((0..TRIES).any(|_| waits() > 100));
}

/// What a task of the mix does next.
#[derive(Clone, Debug)]
enum Step {
    /// So many checks, one after another.
    Checks(u32),
    /// A check that is given up after so many polls.
    GivenUp(u32),
    /// As many others run as want to.
    Yields(u32),
    /// All others have time to end what they do.
    Pause,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..30u32).prop_map(Step::Checks),
        1 => (1..4u32).prop_map(Step::GivenUp),
        1 => (1..20u32).prop_map(Step::Yields),
        1 => Just(Step::Pause),
    ];
    prop::collection::vec(step, 1..12)
}

/// What was told of one subject.
#[derive(Default)]
struct Told {
    allowed: AtomicU32,
    given_up: AtomicU32,
    left: Mutex<Vec<u32>>,
}

async fn take_steps(limiter: Limiter, subject: String, steps: Vec<Step>, told: &Told) {
    for step in steps {
        match step {
            Step::Checks(count) => {
                for _ in 0..count {
                    let decision = limiter.check(&POLICY, &subject).await.unwrap();
                    assert!(decision.is_allowed());
                    told.allowed.fetch_add(1, Ordering::Relaxed);
                    told.left.lock().unwrap().push(decision.remaining());
                }
            }
            Step::GivenUp(polls) => {
                let policy = POLICY;
                let mut check = pin!(limiter.check(&policy, &subject));
                let mut left = polls;
                let answer = poll_fn(|context| {
                    left -= 1;
                    match check.as_mut().poll(context) {
                        Poll::Ready(answer) => Poll::Ready(Some(answer)),
                        Poll::Pending if left == 0 => Poll::Ready(None),
                        Poll::Pending => {
                            context.waker().wake_by_ref();
                            Poll::Pending
                        }
                    }
                })
                .await;
                let count = if let Some(answer) = answer {
                    told.left.lock().unwrap().push(answer.unwrap().remaining());
                    &told.allowed
                } else {
                    &told.given_up
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
            Step::Yields(count) => {
                for _ in 0..count {
                    yield_now().await;
                }
            }
            Step::Pause => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: scaled(12, 200), ..ProptestConfig::default() })]

    /// Callers of several runtimes, each alone for a while and in a crowd for another.
    #[test]
    fn nothing_is_lost_or_counted_twice(
        tasks in prop::collection::vec((0..3usize, 0..2usize, steps()), 1..6),
    ) {
        static SERVER: std::sync::LazyLock<RedisServer> =
            std::sync::LazyLock::new(RedisServer::start);
        static NAMES: AtomicU32 = AtomicU32::new(0);
        let limiter = limiter_at(&SERVER.url());
        let prefix = NAMES.fetch_add(1, Ordering::Relaxed);
        let one_thread = || Builder::new_current_thread().enable_all().build().unwrap();
        let runtimes = [runtime(), one_thread(), one_thread()];
        let told: HashMap<usize, Told> = (0..2).map(|subject| (subject, Told::default())).collect();
        let name = |subject: usize| format!("{prefix} {subject}");
        for (subject, told) in &told {
            let warm_up = take_steps(limiter.clone(), name(*subject), vec![Step::Checks(MANY)], told);
            runtimes[0].block_on(warm_up);
        }
        std::thread::scope(|scope| {
            for (number, runtime) in runtimes.iter().enumerate() {
                let tasks = tasks.iter().filter(|(at, ..)| *at == number);
                let callers: Vec<_> = tasks
                    .map(|(_, subject, steps)| (*subject, steps.clone()))
                    .collect();
                let (limiter, told, name) = (&limiter, &told, &name);
                scope.spawn(move || {
                    runtime.block_on(async {
                        let local = tokio::task::LocalSet::new();
                        let mut set = JoinSet::new();
                        for (subject, steps) in callers {
                            let (limiter, name) = (limiter.clone(), name(subject));
                            // Tasks cannot borrow, so what was told is sent back.
                            set.spawn_local_on(
                                async move {
                                    let own = Told::default();
                                    take_steps(limiter, name, steps, &own).await;
                                    (subject, own)
                                },
                                &local,
                            );
                        }
                        local
                            .run_until(async {
                                while let Some(done) = set.join_next().await {
                                    let (subject, own) = done.unwrap();
                                    let all = &told[&subject];
                                    let add = |to: &AtomicU32, of: &AtomicU32| {
                                        to.fetch_add(of.load(Ordering::Relaxed), Ordering::Relaxed)
                                    };
                                    add(&all.allowed, &own.allowed);
                                    add(&all.given_up, &own.given_up);
                                    all.left.lock().unwrap().extend(own.left.into_inner().unwrap());
                                }
                            })
                            .await;
                    });
                });
            }
        });
        for (subject, told) in told {
            let used = used(&runtimes[0], &limiter, &name(subject));
            let allowed = told.allowed.into_inner();
            let given_up = told.given_up.into_inner();
            prop_assert!((allowed..=allowed + given_up).contains(&used), "{used} {allowed} {given_up}");
            // No two have been told the same, so none got the answer of another.
            let mut left = told.left.into_inner().unwrap();
            left.sort_unstable();
            let count = left.len();
            left.dedup();
            prop_assert_eq!(left.len(), count);
        }
    }
}

/// The server stands still meanwhile, so the call is surely on its way.
#[test]
fn a_call_that_is_given_up_stands_and_its_reply_is_nobody_elses() {
    let server = RedisServer::start();
    let limiter = limiter_at(&server.url());
    let runtime = runtime();
    checks(&runtime, &limiter, "s", MANY);
    let accepted = || {
        let info: String = server.ask("INFO stats");
        let line = info.lines().find_map(|it| it.strip_prefix("total_connections_received:"));
        line.unwrap().parse::<u64>().unwrap()
    };
    for round in 1..=5 {
        let before = accepted();
        let sent = || limiter.stats().redis.unwrap().checks;
        let sent_before = sent();
        server.freeze(true);
        let limiter_of_task = limiter.clone();
        let task = runtime.spawn(async move { limiter_of_task.check(&POLICY, "s").await.is_ok() });
        while sent() == sent_before {
            std::thread::yield_now();
        }
        task.abort();
        server.freeze(false);
        checks(&runtime, &limiter, "other", MANY);
        checks(&runtime, &limiter, "s", MANY);
        assert_eq!(accepted() - before, 1, "the connection is the same; the test itself made one");
        assert_eq!(used(&runtime, &limiter, "s"), MANY + round * (MANY + 1));
    }
}

#[test]
fn a_runtime_that_ends_takes_nothing_with_it() {
    let server = RedisServer::start();
    let limiter = limiter_at(&server.url());
    let lasting = runtime();
    for round in 1..=6 {
        let ending = if round % 2 == 0 {
            Builder::new_current_thread().enable_all().build().unwrap()
        } else {
            runtime()
        };
        checks(&ending, &limiter, "s", MANY);
        let is_frozen = round % 3 == 0;
        server.freeze(is_frozen);
        let limiter_of_task = limiter.clone();
        let task = async move { limiter_of_task.check(&POLICY, "s").await.is_ok() };
        ending.block_on(async {
            let task = tokio::spawn(task);
            // It may be sent and not yet answered.
            yield_now().await;
            drop(task);
        });
        ending.shutdown_background();
        server.freeze(false);
        checks(&lasting, &limiter, "other", 3);
        let used = used(&lasting, &limiter, "s");
        assert!((round * MANY..=round * (MANY + 1)).contains(&used), "{used} in round {round}");
    }
}

/// A runtime that nobody runs any more, while a call of one of its tasks is on its way.
#[test]
fn a_runtime_that_stands_still_holds_nobody_up() {
    let server = RedisServer::start();
    let limiter = limiter_at(&server.url());
    let still = Builder::new_current_thread().enable_all().build().unwrap();
    checks(&still, &limiter, "s", MANY);
    let limiter_of_task = limiter.clone();
    let task = still.spawn(async move { limiter_of_task.check(&POLICY, "s").await.unwrap() });
    let before = limiter.stats().redis.unwrap().checks;
    server.freeze(true);
    still.block_on(async {
        while limiter.stats().redis.unwrap().checks == before {
            yield_now().await;
        }
    });
    server.freeze(false);
    let lasting = runtime();
    checks(&lasting, &limiter, "other", MANY);
    assert!(!task.is_finished());
    assert_eq!(used(&lasting, &limiter, "s"), MANY + 1);
    assert_eq!(still.block_on(task).unwrap().remaining(), LIMIT - MANY - 1);
    // Nor does it keep the limiter from being closed.
    checks(&still, &limiter, "s", MANY);
    server.freeze(true);
    let limiter_of_task = limiter.clone();
    let task = still.spawn(async move { limiter_of_task.check(&POLICY, "s").await.unwrap() });
    let before = limiter.stats().redis.unwrap().checks;
    still.block_on(async {
        while limiter.stats().redis.unwrap().checks == before {
            yield_now().await;
        }
    });
    server.freeze(false);
    lasting.block_on(limiter.close());
    assert!(still.block_on(task).unwrap().is_allowed());
}

#[test]
fn a_runtime_without_sockets_is_served() {
    let server = RedisServer::start();
    let limiter = limiter_at(&server.url());
    let mut total = 0;
    for _ in 0..2 {
        let one_thread = Builder::new_current_thread().enable_time().build().unwrap();
        let many = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        for runtime in [one_thread, many, self::runtime()] {
            checks(&runtime, &limiter, "s", 2 * MANY);
            total += 2 * MANY;
        }
    }
    assert_eq!(used(&runtime(), &limiter, "s"), total);
}

/// Between two calls of a caller that is alone nobody reads the socket.
#[test]
fn a_connection_that_was_lost_in_between_fails_no_check() {
    let mut server = RedisServer::start();
    let limiter = limiter_at(&server.url());
    let runtime = runtime();
    for round in 0..6 {
        checks(&runtime, &limiter, "s", MANY);
        if round % 2 == 0 {
            let kind: u64 = server.ask("CLIENT KILL TYPE normal SKIPME yes");
            assert!(kind > 0);
        } else {
            server.kill();
            assert!(server.restart());
        }
        checks(&runtime, &limiter, "s", MANY);
        let _: () = server.ask("SCRIPT FLUSH");
        checks(&runtime, &limiter, "s", MANY);
    }
}

/// Replies that come in pieces, or not at all.
#[test]
fn what_goes_wrong_with_a_reply_is_told_to_its_caller_alone() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    let runtime = runtime();
    let deadline = Duration::from_secs(2);
    let backend = RedisBackend::builder(&proxy.url()).deadline(deadline).build().unwrap();
    let limiter = Limiter::builder(backend).local_tier(LocalTier::none()).build();
    let faults = [
        Fault::Trickle(Duration::from_micros(200)),
        Fault::DropReply,
        Fault::CutReply,
        Fault::DropRequest,
        Fault::Reset,
        Fault::Delay(Duration::from_millis(5)),
        Fault::Hang,
    ];
    let mut sure = 0;
    let mut unsure = 0;
    for fault in faults {
        checks(&runtime, &limiter, "s", MANY);
        sure += MANY;
        proxy.set(fault);
        let limiter_of_task = limiter.clone();
        let task = runtime.spawn(async move { limiter_of_task.check(&POLICY, "s").await });
        match runtime.block_on(task).unwrap() {
            Ok(_) => sure += 1,
            Err(_) => unsure += 1,
        }
        proxy.set(Fault::None);
    }
    checks(&runtime, &limiter, "s", MANY);
    sure += MANY;
    let used = used(&runtime, &limiter, "s");
    assert!((sure..=sure + unsure).contains(&used), "{sure} + {unsure}: {used}");
    assert!(unsure >= 4, "{unsure}");
}

/// A failure of the script that may pass is not the end of a check that has time left: a server whose memory
/// is full, or whose role has changed, says so in the answer to the check, not in place of one.
#[test]
fn what_fails_for_now_is_sent_again() {
    let (server, runtime) = (RedisServer::start(), runtime());
    let backend = RedisBackend::builder(&server.url()).deadline(PATIENCE).build().unwrap();
    let limiter = Limiter::builder(backend).deadline(PATIENCE).breaker(None).build();
    for (ill, well) in [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    ] {
        checks(&runtime, &limiter, "lone", MANY);
        let _: () = server.ask(ill);
        let calls = server.calls("evalsha");
        let limiter = limiter.clone();
        let check = runtime.spawn(async move { limiter.check(&POLICY, "lone").await });
        eventually("it is sent again", || {
            server.calls("evalsha") > calls + 2 || check.is_finished()
        });
        assert!(!check.is_finished(), "{ill}: {:?}", runtime.block_on(check));
        let _: () = server.ask(well);
        assert!(runtime.block_on(check).unwrap().unwrap().is_allowed(), "{ill}");
    }
}
