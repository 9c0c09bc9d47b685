//! Calls overlap: over a long line a check leaves at once, and behind a slow server checks share calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, IntoConnectionInfo as _};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tollgate::stats::BreakerState;
use tollgate::{CircuitBreaker, Limiter, LocalTier, Policy, Quota, RedisBackend};

use crate::timed::{PATIENCE, limiter_at, runtime};
use support::redis::{Line, RedisServer};
use support::scaled;

const WAY: Duration = Duration::from_millis(2);
const AMPLE: Policy = Policy::new("ample", Quota::new(1_000_000, Duration::from_secs(86_400)));

/// One connection that is shared, as programs do without a limiter.
async fn plain(url: &str) -> MultiplexedConnection {
    let info = url.into_connection_info().unwrap();
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    let client = redis::Client::open(info.set_tcp_settings(tcp)).unwrap();
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

/// Callers that each ask again and again: returns how long each question took, in order.
async fn asked<F>(callers: usize, rounds: u32, ask: impl Fn(usize) -> F) -> Vec<Duration>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut took = Vec::new();
    let mut set = JoinSet::new();
    let start = |caller: usize, set: &mut JoinSet<(usize, Duration)>| {
        let asking = ask(caller);
        set.spawn(async move {
            let since = Instant::now();
            asking.await;
            (caller, since.elapsed())
        });
    };
    (0..callers).for_each(|caller| start(caller, &mut set));
    let mut left = rounds as usize * callers - callers;
    while let Some(done) = set.join_next().await {
        let (caller, time) = done.unwrap();
        took.push(time);
        if left > 0 {
            left -= 1;
            start(caller, &mut set);
        }
    }
    took.sort();
    took
}

async fn checks(limiter: &Limiter, callers: usize, rounds: u32) -> Vec<Duration> {
    asked(callers, rounds, |caller| {
        let limiter = limiter.clone();
        async move {
            assert!(limiter.check(&AMPLE, &caller.to_string()).await.unwrap().is_allowed());
        }
    })
    .await
}

/// Starts, and has a few checks answered one by one, after which the line is known.
async fn get_to_know_the_line(limiter: &Limiter) {
    limiter.initialize().await.unwrap();
    checks(limiter, 1, 20).await;
}

/// Few callers and many, side by side with as many that share one connection.
#[test]
fn over_a_long_line_a_check_takes_one_round_trip() {
    let server = RedisServer::start();
    let line = Line::start(server.port, WAY);
    let other = Line::start(server.port, WAY);
    let limiter = limiter_at(&line.url());
    runtime().block_on(async {
        let plain = plain(&other.url()).await;
        get_to_know_the_line(&limiter).await;
        line.most_requests();
        for callers in [2, 8, 24] {
            // A machine that is busy with something else makes a ratio worse, never better.
            let mut best = f64::INFINITY;
            let mut most = 0;
            for _ in 0..20 {
                let rounds = scaled(30, 300);
                let pings = asked(callers, rounds, |_| {
                    let mut plain = plain.clone();
                    async move { redis::cmd("PING").exec_async(&mut plain).await.unwrap() }
                });
                let before = server.calls("evalsha");
                let (checks, pings) = tokio::join!(checks(&limiter, callers, rounds), pings);
                let calls = server.calls("evalsha") - before;
                let [check, ping] = [&checks, &pings].map(|took| took[took.len() / 2]);
                let ratio = check.as_secs_f64() / ping.as_secs_f64();
                println!(
                    "{callers} callers: {check:?} where one connection takes {ping:?}: {ratio:.2}; \
                     {calls} calls for {} checks",
                    checks.len()
                );
                best = best.min(ratio);
                most = most.max(line.most_requests());
                if best < 1.2 && most >= 2 {
                    break;
                }
            }
            println!("{callers} callers: {most} calls at a time");
            assert!(most >= 2, "{most}");
            assert!(best < 1.3, "{best}");
        }
    });
}

/// A server that takes as long as half of the line for each call.
#[test]
fn behind_a_slow_server_checks_share_calls() {
    let server = RedisServer::start();
    let line = Line::start(server.port, WAY);
    let limiter = limiter_at(&line.url());
    runtime().block_on(async {
        get_to_know_the_line(&limiter).await;
        line.set_work(WAY);
        checks(&limiter, 64, 10).await;
        let before = server.calls("evalsha");
        let checks = checks(&limiter, 64, scaled(20, 200)).await.len() as u64;
        let calls = server.calls("evalsha") - before;
        println!("{calls} calls for {checks} checks");
        assert!(calls <= checks / 8, "{calls} calls for {checks} checks");
    });
}

/// Over the loopback interface there is no line to speak of, and many of the callers share a call: the
/// more, the longer the server takes for one.
#[test]
fn beside_the_server_checks_share_calls() {
    let server = RedisServer::start();
    let limiter = limiter_at(&server.url());
    runtime().block_on(async {
        limiter.initialize().await.unwrap();
        checks(&limiter, 1, 50).await;
        for callers in [8, 64, 256] {
            // A call has at most 128 checks. A machine that is busy makes a line seem longer.
            let wanted = callers.min(128) as f64 / 6.0;
            let mut best = 0.0_f64;
            for _ in 0..10 {
                let before = server.calls("evalsha");
                let checks = checks(&limiter, callers, scaled(30, 300)).await.len() as u64;
                let calls = server.calls("evalsha") - before;
                best = best.max(checks as f64 / calls as f64);
                if best > wanted {
                    break;
                }
            }
            println!("{callers} callers: {best:.1} checks a call");
            assert!(best > wanted, "{callers} callers: {best}");
        }
    });
}

/// Checks of one key that leave one after the other, behind calls that are on their way, are decided
/// in their order.
#[test]
fn calls_that_overlap_keep_the_order() {
    let server = RedisServer::start();
    let line = Line::start(server.port, WAY);
    let limiter = limiter_at(&line.url());
    let policy = Policy::new("order", Quota::new(500, Duration::from_secs(86_400)));
    // One thread, so that tasks begin in the order in which they are spawned.
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut near = plain(&server.url()).await;
        get_to_know_the_line(&limiter).await;
        line.most_requests();
        let (mut round, mut most) = (0, 0);
        // On a machine that is busy with something else, calls overlap in fewer rounds.
        while round < scaled(5, 50) || (most < 3 && round < 200) {
            let key = round.to_string();
            round += 1;
            let mut pending = Vec::new();
            for number in 0..120_u32 {
                let cost = 1 + number * 7 % 11;
                let (limiter, policy, key) = (limiter.clone(), policy.clone(), key.clone());
                pending.push((
                    cost,
                    tokio::spawn(async move {
                        limiter.check_cost(&policy, &key, cost).await.unwrap().is_allowed()
                    }),
                ));
                // Meanwhile the check leaves, if it may.
                redis::cmd("PING").exec_async(&mut near).await.unwrap();
            }
            let mut used = 0;
            for (number, (cost, check)) in pending.into_iter().enumerate() {
                let fits = used + cost <= 500;
                used += if fits { cost } else { 0 };
                assert_eq!(check.await.unwrap(), fits, "check {number} of cost {cost}");
            }
            most = most.max(line.most_requests());
        }
        println!("{most} calls at a time");
        assert!(most >= 3, "{most}");
    });
}

/// Calls on their way when a connection breaks fail by one event.
#[test]
fn a_connection_that_breaks_is_one_failure() {
    let server = RedisServer::start();
    let line = Line::start(server.port, WAY);
    let backend = RedisBackend::builder(&line.url()).deadline(PATIENCE).build().unwrap();
    // Two failures would open it.
    let breaker = CircuitBreaker::new().failure_threshold(2);
    let builder = Limiter::builder(backend).local_tier(LocalTier::none());
    let limiter = builder.breaker(breaker).build();
    runtime().block_on(async {
        limiter.initialize().await.unwrap();
        let mut near = plain(&server.url()).await;
        for round in 0..scaled(4, 40) {
            checks(&limiter, 1, 20).await;
            let failed = Arc::new(AtomicUsize::new(0));
            let mut set = JoinSet::new();
            while line.requests() < 3 {
                let (limiter, failed) = (limiter.clone(), Arc::clone(&failed));
                set.spawn(async move {
                    let is_failed = limiter.check(&AMPLE, "s").await.is_err();
                    failed.fetch_add(usize::from(is_failed), Ordering::SeqCst);
                });
                redis::cmd("PING").exec_async(&mut near).await.unwrap();
                assert!(set.len() < 10_000, "never three at a time");
            }
            line.cut();
            set.join_all().await;
            let breaker = limiter.stats().breaker.unwrap();
            let failed = failed.load(Ordering::SeqCst);
            println!("round {round}: {failed} checks failed, {breaker:?}");
            assert!(failed >= 3, "{failed}");
            assert_eq!((breaker.state, breaker.opened), (BreakerState::Closed, 0));
        }
    });
}

/// A server that has forgotten the script gets it once, however many calls were on their way, and
/// every check is charged once.
#[test]
fn a_forgotten_script_is_sent_once() {
    let server = RedisServer::start();
    let line = Line::start(server.port, WAY);
    let limiter = limiter_at(&line.url());
    runtime().block_on(async {
        get_to_know_the_line(&limiter).await;
        line.most_requests();
        let before = server.calls("script|load");
        let flushes = scaled(5, 50);
        let flushing = tokio::task::spawn_blocking({
            let mut connection = server.connection();
            move || {
                for _ in 0..flushes {
                    // Between two of them, calls go over the line, which takes its time.
                    std::thread::sleep(WAY * 8);
                    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut connection).unwrap();
                }
            }
        });
        let callers = JoinSet::from_iter((0..24).map(|_| {
            let limiter = limiter.clone();
            async move {
                for _ in 0..flushes * 5 {
                    assert!(limiter.check(&AMPLE, "flush").await.unwrap().is_allowed());
                }
            }
        }));
        callers.join_all().await;
        flushing.await.unwrap();
        let used = 1_000_000 - limiter.peek(&AMPLE, "flush", 0).await.unwrap().remaining();
        let loads = server.calls("script|load") - before;
        println!("{loads} loads for {flushes} flushes, {} calls at a time", line.most_requests());
        assert_eq!(used, flushes * 5 * 24);
        // The last flush may come after the last check, but not after the look.
        assert!((1..=u64::from(flushes)).contains(&loads), "{loads}");
    });
}
