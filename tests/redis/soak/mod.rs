//! Everything at once over Redis, while fault follows fault, watched from outside: no window admits
//! more than its limit says, who is told to come back is admitted then, a ban holds, permits are never
//! too many, service returns after each fault, and nothing leaks.
//!
//! ```console
//! TOLLGATE_SOAK_SECONDS=3600 cargo test --release -p tollgate-tests --test redis soak -- --ignored --nocapture
//! ```

mod dice;
mod doors;
mod faults;
mod instance;
mod judge;
mod limits;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tollgate::stats::BreakerState;
use tollgate::{
    CircuitBreaker, Limiter, LocalTier, Override, Overrides, Policy, Quota, RedisBackend,
};

use self::dice::Dice;
use self::faults::Faults;
use self::instance::{Caller, Run};
use self::limits::{INSTANCES, LEASE, Limit};
use crate::timed::runtime;
use support::redis::{Proxy, RedisServer, eventually};

/// The callers of each instance.
const CALLERS: u64 = 12;
/// More than the subjects of all limits.
const MAX_KEYS: u64 = 600;

/// What must not grow: tasks, open files, and memory in kB; and the server's memory and keys.
#[derive(Clone, Copy, Debug)]
struct Held {
    tasks: usize,
    files: usize,
    memory: usize,
    server_memory: u64,
    keys: u64,
}

fn held(runtime: &Runtime, server: &RedisServer) -> Held {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let resident: usize = pages.split_whitespace().nth(1).unwrap().parse().unwrap();
    Held {
        tasks: runtime.metrics().num_alive_tasks(),
        files: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        memory: resident * 4,
        server_memory: info(server, "used_memory") / 1_024,
        keys: server.ask("DBSIZE"),
    }
}

fn info(server: &RedisServer, name: &str) -> u64 {
    let info: String = server.ask("INFO");
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap();
    line.trim().parse().unwrap()
}

/// A limiter with connections of its own. Instances differ in what they keep to themselves.
fn limiter(proxy: &Proxy, index: usize, run: &Run) -> Limiter {
    let backend = RedisBackend::builder(&proxy.url()).build().unwrap();
    let breaker = CircuitBreaker::new()
        .reset_timeout(Duration::from_millis(100))
        .max_reset_timeout(Duration::from_secs(1));
    let limiter = Limiter::builder(backend).breaker(breaker).instances(INSTANCES);
    let policies = run.limits.iter().map(|(_, policy, _)| policy.clone());
    let limiter = policies.fold(limiter, |limiter, policy| limiter.declare(policy));
    match index % 3 {
        0 => limiter.build(),
        1 => limiter.local_tier(LocalTier::none()).build(),
        _ => {
            let hold = Duration::from_millis(200);
            limiter.local_tier(LocalTier::deny_cache().lease(0).hold(hold)).build()
        }
    }
}

/// Nothing stays at the server for longer than it counts: some periods, the memory of a ban, a day.
fn assert_counts_expire(server: &RedisServer) {
    let keys: Vec<String> = server.ask("KEYS *");
    let mut connection = server.connection();
    for key in keys {
        let seconds: i64 = redis::cmd("TTL").arg(&key).query(&mut connection).unwrap();
        let most = if key.contains("calendar") { 86_401 } else { 120 };
        // What ended meanwhile has none.
        assert!(seconds == -2 || (0..=most).contains(&seconds), "{key} ends in {seconds} s");
    }
}

/// Does all the time what operators do now and then.
async fn operate(run: Arc<Run>, limiters: Vec<Limiter>) {
    let mut dice = Dice::new(42);
    while !run.stop.load(Ordering::Relaxed) {
        for (limit, policy, _) in &run.limits {
            let limiter = &limiters[dice.roll(limiters.len() as u64) as usize];
            let subject = dice.roll(limit.subjects()).to_string();
            match limit {
                Limit::Overridden => {
                    let number = 4 + dice.roll(5) as u32;
                    let changed =
                        Overrides::new().with(policy.name(), Override::new().limit(number));
                    limiter.set_overrides(changed).unwrap();
                }
                Limit::Reset => {
                    let _ = limiter.reset(policy, &subject).await;
                    let _ = limiter.ban(policy, &subject, Duration::from_secs(1)).await;
                    let _ = limiter.unban(policy, &subject).await;
                }
                _ => {
                    let _ = limiter.peek(policy, &subject, 1).await;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
#[ignore = "it takes ten minutes, or TOLLGATE_SOAK_SECONDS"]
fn all_features_at_once_through_all_faults() {
    let number =
        |name: &str, usual| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let seconds = number("TOLLGATE_SOAK_SECONDS", 600);
    let seed = number("TOLLGATE_SOAK_SEED", 1);
    // A server that is killed finds its data again. With `everysec` it would write them later while
    // the disk is busy, and then lose what it has told.
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "no"]);
    let proxies: Vec<Proxy> = (0..INSTANCES).map(|_| Proxy::start(server.port)).collect();
    let runtime = runtime();
    let run = Arc::new(Run {
        stop: AtomicBool::new(false),
        slowest: AtomicU64::new(0),
        limits: limits::all(),
        http: doors::judge(),
    });
    let indexed = proxies.iter().enumerate();
    let limiters: Vec<Limiter> =
        indexed.map(|(index, proxy)| limiter(proxy, index, &run)).collect();

    let mut callers = JoinSet::new();
    for (index, limiter) in limiters.iter().enumerate() {
        runtime.block_on(limiter.initialize()).unwrap();
        for caller in 0..CALLERS {
            let number = index as u64 * CALLERS + caller;
            let (run, limiter) = (run.clone(), limiter.clone());
            let caller = Caller { run, limiter, dice: Dice::new(seed * 1_000 + number), number };
            callers.spawn_on(caller.call(), runtime.handle());
        }
        let address = runtime.block_on(doors::serve(limiter));
        let dice = Dice::new(seed * 2_000 + index as u64);
        callers.spawn_on(doors::send(run.clone(), address, dice), runtime.handle());
    }
    callers.spawn_on(operate(run.clone(), limiters.clone()), runtime.handle());

    let judges: Vec<_> = run.judges().collect();
    let mut dice = Dice::new(seed);
    let (begun, mut early, mut faults) = (Instant::now(), None, Faults::default());
    let mut slowest_return = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(seconds) {
        faults.next(&mut dice, &mut server, &proxies, &judges);
        // Within one probe, which is at most a second away; a fault may have come just before.
        let since = Instant::now();
        eventually("service is back", || {
            let closed =
                |limiter: &Limiter| limiter.stats().breaker.unwrap().state == BreakerState::Closed;
            limiters.iter().all(closed)
        });
        slowest_return = slowest_return.max(since.elapsed());
        std::thread::sleep(Duration::from_millis(2_000 + dice.roll(6_000)));
        if early.is_none() && begun.elapsed() > Duration::from_secs(seconds / 4) {
            early = Some(held(&runtime, &server));
        }
    }
    let late = held(&runtime, &server);
    run.stop.store(true, Ordering::Relaxed);
    // A caller that panicked, or never ended, is found here.
    runtime.block_on(async {
        while let Some(caller) = callers.join_next().await {
            caller.unwrap();
        }
        let policy = Policy::new("after", Quota::new(1_000, Duration::from_secs(60)));
        for limiter in &limiters {
            assert!(limiter.check(&policy, "s").await.unwrap().is_allowed());
            limiter.close().await;
        }
    });
    // The servers of the doors, the connections, and what drives them, are all that is left.
    eventually("nothing is left", || runtime.metrics().num_alive_tasks() <= 40);
    assert_counts_expire(&server);

    let early = early.unwrap();
    println!("{seconds} s, seed {seed}, {INSTANCES} instances, leases of {LEASE}");
    println!("| limit | admitted | refused | unknown | given up | most seen | violations |");
    let mut violations = 0;
    for judge in &judges {
        let counts = &judge.counts;
        let [admitted, refused, unknown, given_up] =
            [&counts.admitted, &counts.refused, &counts.unknown, &counts.given_up]
                .map(|count| count.load(Ordering::Relaxed));
        let (most, found) = (judge.most.load(Ordering::Relaxed), judge.violations.lock().unwrap());
        println!(
            "| {} | {admitted} | {refused} | {unknown} | {given_up} | {most} | {} |",
            judge.name,
            found.len()
        );
        violations += found.len();
        assert!(admitted > 0, "{}: nothing was admitted", judge.name);
    }
    for (kind, count) in &faults.0 {
        println!("{count} times: {kind}");
    }
    let slowest = Duration::from_micros(run.slowest.load(Ordering::Relaxed));
    println!("slowest answer {slowest:?}, slowest return {slowest_return:?}");
    println!("after a quarter {early:?}, at the end {late:?}");
    assert_eq!(violations, 0);
    assert!(late.tasks <= early.tasks + 40, "{early:?} {late:?}");
    assert!(late.files <= early.files + 40, "{early:?} {late:?}");
    assert!(late.memory <= early.memory * 5 / 4 + 8_192, "{early:?} {late:?}");
    assert!(late.keys <= MAX_KEYS, "{early:?} {late:?}");
    assert!(late.server_memory <= early.server_memory * 3 / 2 + 4_096, "{early:?} {late:?}");
}
