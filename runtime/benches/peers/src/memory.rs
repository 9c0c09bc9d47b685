//! Checks in memory, against governor's keyed limiter over its default store.
//!
//! Both get a `&str`, read the clock, find the key and decide. Ours is asked through
//! what a generated handler's guard calls for each limit; governor's keys are `String`s, so
//! one is made of the `&str`. Each thread goes through all keys in an order of its own, which is
//! not the one in which they were inserted.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota as TheirQuota, RateLimiter};
use tollgate::__private::{Ruling, rule_now};
use tollgate::{Algorithm, Limiter, MemoryBackend, Policy, Quota};

use crate::median;

/// Never used up, at one per second.
const BURST: u32 = 300_000_000;
const ROUNDS: usize = 9;
const KEYS: [usize; 3] = [1_000, 100_000, 1_000_000];
const THREADS: [usize; 2] = [1, 2];

type Theirs = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock>;

/// Whether checks are let through.
#[derive(Clone, Copy, PartialEq)]
enum Case {
    Allowed,
    Refused,
}

impl Case {
    fn prefix(self) -> &'static str {
        match self {
            Self::Allowed => "",
            Self::Refused => "refused.",
        }
    }
}

/// Those comparisons whose name contains `only`.
pub(crate) fn run(only: &str) -> Result<(), Box<dyn std::error::Error>> {
    for threads in THREADS {
        for keys in KEYS {
            for algorithm in algorithms() {
                compare(only, Case::Allowed, algorithm, keys, threads);
            }
        }
    }
    for algorithm in [Algorithm::Gcra, Algorithm::SlidingWindow] {
        compare(only, Case::Allowed, algorithm, 1, 2);
        compare(only, Case::Refused, algorithm, 1, 2);
        for keys in KEYS {
            compare(only, Case::Refused, algorithm, keys, 1);
        }
    }
    if only.is_empty() { bytes_per_key() } else { Ok(()) }
}

/// Those with a target first.
fn algorithms() -> [Algorithm; 6] {
    [
        Algorithm::Gcra,
        Algorithm::SlidingWindow,
        Algorithm::SlidingWindowCounter,
        Algorithm::FixedWindow,
        Algorithm::TokenBucket,
        Algorithm::LeakyBucket,
    ]
}

fn compare(only: &str, case: Case, algorithm: Algorithm, key_count: usize, threads: usize) {
    let name = format!("{}{}.{key_count}.{threads}t", case.prefix(), algorithm.name());
    if !name.contains(only) {
        return;
    }
    let ours = Ours::new(case, algorithm, key_count);
    let theirs = theirs(case);
    let orders: Vec<Vec<String>> = (0..threads).map(|_| shuffled(key_count)).collect();
    let checks = key_count.max(300_000);
    // Fills the stores, and then the caches.
    for key in shuffled(key_count) {
        ours.check(&key);
        let _ = theirs.check_key(&key);
    }
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        let our_time = time(&orders, checks, |key| ours.check(key), case);
        let check_theirs = |key: &str| theirs.check_key(&key.to_owned()).is_ok();
        samples.push((our_time, time(&orders, checks, check_theirs, case)));
    }
    let of = |pick: fn(&(f64, f64)) -> f64| median(samples.iter().map(pick).collect());
    println!(
        "ratio memory.{name} {:.2}   (ours {:.1} ns, governor {:.1} ns)",
        of(|(ours, theirs)| ours / theirs),
        of(|(ours, _)| *ours),
        of(|(_, theirs)| *theirs),
    );
}

/// Nanoseconds that a check takes a thread.
fn time(
    orders: &[Vec<String>],
    checks: usize,
    check: impl Fn(&str) -> bool + Sync,
    case: Case,
) -> f64 {
    let barrier = Barrier::new(orders.len());
    let run = |keys: &[String]| {
        // The keys lie one after the other, as a request's key is in the cache when it is used.
        let text: String = keys.iter().map(String::as_str).collect();
        let lengths: Vec<usize> = keys.iter().map(String::len).collect();
        barrier.wait();
        let started = Instant::now();
        let mut allowed = 0;
        let mut left = checks;
        while left > 0 {
            let mut at = 0;
            for length in &lengths[..left.min(lengths.len())] {
                allowed += usize::from(check(&text[at..at + length]));
                at += length;
            }
            left = left.saturating_sub(lengths.len());
        }
        let elapsed = started.elapsed();
        let expected = if case == Case::Allowed { checks } else { 0 };
        assert_eq!(allowed, expected, "the case is not what it says");
        elapsed.as_nanos() as f64 / checks as f64
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = orders.iter().map(|keys| scope.spawn(|| run(keys))).collect();
        let times = threads.into_iter().map(|thread| thread.join().unwrap());
        times.sum::<f64>() / orders.len() as f64
    })
}

struct Ours {
    limiter: Limiter,
    policy: Policy,
}

impl Ours {
    fn new(case: Case, algorithm: Algorithm, key_count: usize) -> Self {
        let quota = match (case, algorithm) {
            (Case::Refused, _) => Quota::new(1, Duration::from_secs(366 * 86_400)),
            (Case::Allowed, Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::Gcra) => {
                Quota::new(1, Duration::from_secs(1)).burst(BURST)
            }
            // A log with an entry for each admission, a dozen or so at a time, as of a client that
            // has been here as often within the period; and the limit never reached.
            (Case::Allowed, Algorithm::SlidingWindow) if key_count > 1 => {
                let period = match key_count {
                    1_000 => 1,
                    100_000 => 500,
                    _ => 10_000,
                };
                Quota::new(1_000, Duration::from_millis(period))
            }
            (Case::Allowed, _) => Quota::new(u32::MAX, Duration::from_micros(u32::MAX.into())),
        };
        let backend = MemoryBackend::builder().max_keys(2 * key_count).build();
        Self { limiter: Limiter::new(backend), policy: policy(quota, algorithm) }
    }

    fn check(&self, key: &str) -> bool {
        let mut ruling = Ruling::open();
        let answered = rule_now(&self.limiter, &self.policy, key, 1, &mut ruling);
        assert!(matches!(answered, Some(Ok(()))), "memory answers at once");
        ruling.is_allowed()
    }
}

fn policy(quota: Quota, algorithm: Algorithm) -> Policy {
    Policy::new("peers::memory::handler", quota).algorithm(algorithm)
}

fn theirs(case: Case) -> Theirs {
    let quota = match case {
        Case::Allowed => {
            let burst = NonZeroU32::new(BURST).unwrap();
            TheirQuota::per_second(NonZeroU32::MIN).allow_burst(burst)
        }
        Case::Refused => TheirQuota::with_period(Duration::from_secs(366 * 86_400)).unwrap(),
    };
    RateLimiter::keyed(quota)
}

/// That many addresses, in an order that is another each time.
fn shuffled(count: usize) -> Vec<String> {
    let hasher = RandomState::new();
    let mut numbers: Vec<u32> = (0..count as u32).collect();
    numbers.sort_by_cached_key(|number| hasher.hash_one(number));
    let address = |number: u32| std::net::Ipv4Addr::from(0x0a00_0000 + number * 7).to_string();
    numbers.into_iter().map(address).collect()
}

/// What a million keys add to the resident memory, each store in a process of its own.
fn bytes_per_key() -> Result<(), Box<dyn std::error::Error>> {
    for store in algorithms().map(Algorithm::name).into_iter().chain(["governor"]) {
        Command::new(std::env::current_exe()?).args(["memory-of", store]).status()?;
    }
    Ok(())
}

pub(crate) fn bytes_per_key_of(store: &str) -> Result<(), Box<dyn std::error::Error>> {
    let keys = shuffled(1_000_000);
    let before = resident()?;
    let (ours, theirs);
    if let Some(algorithm) = algorithms().into_iter().find(|a| a.name() == store) {
        ours = Ours::new(Case::Allowed, algorithm, keys.len());
        keys.iter().for_each(|key| assert!(ours.check(key)));
    } else {
        theirs = self::theirs(Case::Allowed);
        keys.iter().for_each(|key| assert!(theirs.check_key(key).is_ok()));
    }
    println!("bytes per key, {store}: {:.0}", (resident()? - before) / keys.len() as f64);
    Ok(())
}

fn resident() -> Result<f64, Box<dyn std::error::Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = statm.split(' ').nth(1).ok_or("no resident size")?.parse()?;
    Ok(pages * 4096.0)
}
