//! Faults of every kind, one after the other, under load: nothing leaks, panics or gets stuck.
//!
//! ```console
//! TOLLGATE_SOAK_SECONDS=600 cargo test --test redis soak -- --ignored --nocapture
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tollgate::stats::BreakerState;
use tollgate::{CircuitBreaker, Limiter, OnError, Policy, Quota, RedisBackend};

use crate::timed::runtime;
use support::redis::{Fault, Proxy, RedisServer, eventually};

const CALLERS: u64 = 32;
const SUBJECTS: u64 = 1_000;
const MODES: [OnError; 3] = [OnError::Closed, OnError::Open, OnError::Local];

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // Knuth's MMIX.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What must not grow: tasks, open files, and memory in kB.
#[derive(Clone, Copy, Debug)]
struct Held {
    tasks: usize,
    files: usize,
    memory: usize,
}

fn held(runtime: &tokio::runtime::Runtime) -> Held {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let resident: usize = pages.split_whitespace().nth(1).unwrap().parse().unwrap();
    Held {
        tasks: runtime.metrics().num_alive_tasks(),
        files: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        memory: resident * 4,
    }
}

async fn calls(limiter: Limiter, stop: Arc<AtomicBool>, answered: Arc<[AtomicU64; 2]>, seed: u64) {
    let quota = Quota::new(50, Duration::from_secs(1));
    let policies = MODES.map(|mode| Policy::named(format!("soak {mode:?}"), quota).on_error(mode));
    let mut dice = Dice(seed);
    while !stop.load(Ordering::Relaxed) {
        let policy = &policies[dice.roll(3) as usize];
        let subject = dice.roll(SUBJECTS).to_string();
        let check = limiter.check(policy, &subject);
        // Some callers lose their patience.
        let patience = Duration::from_millis(if dice.roll(20) == 0 { 1 } else { 60_000 });
        let answer = tokio::time::timeout(patience, check).await;
        match answer {
            Ok(Ok(decision)) => {
                answered[0].fetch_add(1, Ordering::Relaxed);
                if dice.roll(10) == 0 {
                    let _ = limiter.refund(decision).await;
                }
            }
            Ok(Err(_)) => {
                answered[1].fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {}
        }
        // A service does other things as well.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
#[ignore = "it takes ten minutes, or TOLLGATE_SOAK_SECONDS"]
fn ten_minutes_of_mixed_faults() {
    let seconds = std::env::var("TOLLGATE_SOAK_SECONDS").map_or(600, |text| text.parse().unwrap());
    let mut server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    let backend = RedisBackend::builder(&proxy.url()).build().unwrap();
    let breaker = CircuitBreaker::new()
        .reset_timeout(Duration::from_millis(100))
        .max_reset_timeout(Duration::from_secs(1));
    let limiter = Limiter::builder(backend).breaker(breaker).instances(2).build();
    let runtime = runtime();
    runtime.block_on(async { limiter.initialize().await.unwrap() });
    let breaker = || limiter.stats().breaker.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let answered: Arc<[AtomicU64; 2]> = Arc::default();
    let mut callers = JoinSet::new();
    for seed in 0..CALLERS {
        let (limiter, stop, answered) = (limiter.clone(), stop.clone(), answered.clone());
        callers.spawn_on(calls(limiter, stop, answered, seed), runtime.handle());
    }

    let mut dice = Dice(4_711);
    let (begun, mut early) = (Instant::now(), None);
    let mut faults = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let span = Duration::from_millis(100 + dice.roll(1_500));
        let delay = Duration::from_millis(dice.roll(250));
        let kinds = [
            Fault::Refuse,
            Fault::Hang,
            Fault::DropRequest,
            Fault::DropReply,
            Fault::CutReply,
            Fault::Delay(delay),
            Fault::Trickle(delay / 20),
        ];
        match dice.roll(10) as usize {
            kind if kind < kinds.len() => {
                proxy.set(kinds[kind]);
                std::thread::sleep(span);
                proxy.set(Fault::None);
            }
            7 => {
                server.freeze(true);
                std::thread::sleep(span);
                server.freeze(false);
            }
            8 => {
                server.kill();
                std::thread::sleep(span);
                assert!(server.restart());
            }
            _ => {
                let _: () = server.ask("CONFIG SET maxmemory 1");
                std::thread::sleep(span);
                let _: () = server.ask("CONFIG SET maxmemory 0");
            }
        }
        faults += 1;
        std::thread::sleep(Duration::from_millis(dice.roll(1_500)));
        // Within one probe, which is at most a second away; a fault may have come just before.
        eventually("service is back", || breaker().state == BreakerState::Closed);
        if early.is_none() && begun.elapsed() > Duration::from_secs(seconds / 4) {
            early = Some(held(&runtime));
        }
    }
    let late = held(&runtime);
    stop.store(true, Ordering::Relaxed);
    // A caller that panicked, or never ended, is found here.
    runtime.block_on(async {
        while let Some(caller) = callers.join_next().await {
            caller.unwrap();
        }
        for mode in MODES {
            let policy = Policy::new("after", Quota::new(1_000, Duration::from_secs(60)));
            assert!(limiter.check(&policy.on_error(mode), "s").await.unwrap().is_allowed());
        }
    });
    // The connections, and what drives them, are all that is left.
    eventually("nothing is left", || runtime.metrics().num_alive_tasks() <= 8);
    let clients: u64 = {
        let info: String = server.ask("INFO clients");
        let line = info.lines().find_map(|line| line.strip_prefix("connected_clients:")).unwrap();
        line.trim().parse().unwrap()
    };
    let [decided, failed] = [0, 1].map(|which| answered[which].load(Ordering::Relaxed));
    let early = early.unwrap();
    println!(
        "{seconds} s, {faults} faults: {decided} decisions, {failed} without; {:?}",
        breaker()
    );
    println!("after a quarter {early:?}, at the end {late:?}, {clients} connections");
    assert!(decided > failed && failed > 0);
    // A pool of four, and the one that asks.
    assert!(clients <= 5, "{clients}");
    assert!(late.tasks <= early.tasks + 16, "{early:?} {late:?}");
    assert!(late.files <= early.files + 16, "{early:?} {late:?}");
    assert!(late.memory <= early.memory * 5 / 4 + 8_192, "{early:?} {late:?}");
}
