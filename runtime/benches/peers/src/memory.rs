//! Checks in memory, against governor's keyed limiter over its default store.
//!
//! Both get a `&str`, read the clock, find the key and decide. Ours is asked through
//! `Limiter::check_now`, whose `Decision` is also the receipt for a refund; governor's keys are
//! `String`s, so one is made of the `&str`. Each thread goes through all keys in an order of its
//! own, which is not the one in which they were inserted.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota as TheirQuota, RateLimiter};
use tollgate::{Algorithm, Limiter, MemoryBackend, Policy, Quota};

use crate::decide::admits;
use crate::{median, name};

/// Never used up, at one per second.
const BURST: u32 = 300_000_000;
const ROUNDS: usize = 9;
/// Rounds of a figure by itself: a comparison of commits takes the median of several processes.
const FIGURE_ROUNDS: usize = 5;
const KEYS: [usize; 3] = [1_000, 100_000, 1_000_000];
const THREADS: [usize; 2] = [1, 2];

pub(crate) type Theirs = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock>;

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

/// Runs those comparisons whose name contains `only`.
pub(crate) fn run(only: &str) -> Result<(), Box<dyn std::error::Error>> {
    setups().filter(|setup| setup.name().contains(only)).for_each(compare);
    if only.is_empty() || only == "bytes" { bytes_per_key() } else { Ok(()) }
}

/// Prints nanoseconds per check of ours alone, for those comparisons whose name contains `only`.
pub(crate) fn figures(only: &str) {
    for setup in setups().filter(|setup| setup.name().contains(only)) {
        let ours = Ours::new(setup);
        let orders = setup.orders();
        let check = |key: &str| ours.check(key);
        // Fills the store.
        for key in shuffled(setup.keys) {
            check(&key);
        }
        let samples = (0..FIGURE_ROUNDS).map(|_| time(&orders, setup, check)).collect();
        println!("figure memory.{} {:.2}", setup.name(), median(samples));
    }
}

/// One comparison: what is asked, of how many keys, by how many threads.
#[derive(Clone, Copy)]
struct Setup {
    case: Case,
    algorithm: Algorithm,
    keys: usize,
    threads: usize,
}

impl Setup {
    fn name(self) -> String {
        let Self { case, algorithm, keys, threads } = self;
        format!("{}{}.{keys}.{threads}t", case.prefix(), name(algorithm))
    }

    fn orders(self) -> Vec<Vec<String>> {
        (0..self.threads).map(|_| shuffled(self.keys)).collect()
    }

    fn checks(self) -> usize {
        self.keys.max(300_000)
    }
}

fn setups() -> impl Iterator<Item = Setup> {
    let admitted = THREADS.into_iter().flat_map(|threads| {
        KEYS.into_iter().flat_map(move |keys| {
            let case = Case::Allowed;
            algorithms().map(|algorithm| Setup { case, algorithm, keys, threads })
        })
    });
    let others = [Algorithm::Gcra, Algorithm::SlidingWindow].into_iter().flat_map(|algorithm| {
        let one_key = [Case::Allowed, Case::Refused].map(|case| (case, 1, 2));
        let refused = KEYS.map(|keys| (Case::Refused, keys, 1));
        let both = one_key.into_iter().chain(refused);
        both.map(move |(case, keys, threads)| Setup { case, algorithm, keys, threads })
    });
    admitted.chain(others)
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

fn compare(setup: Setup) {
    let ours = Ours::new(setup);
    let theirs = theirs(setup.case);
    let orders = setup.orders();
    // Fills the stores, and then the caches.
    for key in shuffled(setup.keys) {
        ours.check(&key);
        let _ = theirs.check_key(&key);
    }
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        let our_time = time(&orders, setup, |key| ours.check(key));
        let check_theirs = |key: &str| theirs.check_key(&key.to_owned()).is_ok();
        samples.push((our_time, time(&orders, setup, check_theirs)));
    }
    let of = |pick: fn(&(f64, f64)) -> f64| median(samples.iter().map(pick).collect());
    println!(
        "ratio memory.{} {:.2}   (ours {:.1} ns, governor {:.1} ns)",
        setup.name(),
        of(|(ours, theirs)| ours / theirs),
        of(|(ours, _)| *ours),
        of(|(_, theirs)| *theirs),
    );
}

/// Nanoseconds that a check takes a thread.
fn time(orders: &[Vec<String>], setup: Setup, check: impl Fn(&str) -> bool + Sync) -> f64 {
    let checks = setup.checks();
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
        let expected = if setup.case == Case::Allowed { checks } else { 0 };
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
    fn new(setup: Setup) -> Self {
        let Setup { case, algorithm, keys: key_count, .. } = setup;
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
        admits(&self.limiter, &self.policy, key)
    }
}

pub(crate) fn policy(quota: Quota, algorithm: Algorithm) -> Policy {
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

/// Theirs, never used up.
pub(crate) fn theirs_admitting() -> Theirs {
    theirs(Case::Allowed)
}

/// That many addresses, in an order that is another each time.
pub(crate) fn shuffled(count: usize) -> Vec<String> {
    let hasher = RandomState::new();
    let mut numbers: Vec<u32> = (0..count as u32).collect();
    numbers.sort_by_cached_key(|number| hasher.hash_one(number));
    let address = |number: u32| std::net::Ipv4Addr::from(0x0a00_0000 + number * 7).to_string();
    numbers.into_iter().map(address).collect()
}

/// A store whose window has had a dozen admissions of each key.
const DOZEN: &str = "sliding_window_12";
const SLIDING_WINDOW: &str = "sliding_window";

/// Prints `figure memory.bytes.STORE VALUE`: what a million keys add to the resident memory, each store
/// in a process of its own.
fn bytes_per_key() -> Result<(), Box<dyn std::error::Error>> {
    for store in algorithms().map(name).into_iter().chain([DOZEN, "governor"]) {
        Command::new(std::env::current_exe()?).args(["memory-of", store]).status()?;
    }
    Ok(())
}

pub(crate) fn bytes_per_key_of(store: &str) -> Result<(), Box<dyn std::error::Error>> {
    let keys = shuffled(1_000_000);
    let before = resident()?;
    let (ours, theirs);
    if store == "governor" {
        theirs = self::theirs(Case::Allowed);
        keys.iter().for_each(|key| assert!(theirs.check_key(key).is_ok()));
    } else {
        let (store, admissions) = if store == DOZEN { (SLIDING_WINDOW, 12) } else { (store, 1) };
        let algorithm = algorithms().into_iter().find(|algorithm| name(*algorithm) == store);
        let algorithm = algorithm.ok_or("there is no such store")?;
        let limiter = Limiter::new(MemoryBackend::builder().max_keys(2 * keys.len()).build());
        // No key is forgotten before all are there.
        let policy = policy(Quota::new(12, Duration::from_secs(3_600)), algorithm);
        ours = Ours { limiter, policy };
        for _ in 0..admissions {
            keys.iter().for_each(|key| assert!(ours.check(key)));
        }
    }
    println!("figure memory.bytes.{store} {:.0}", (resident()? - before) / keys.len() as f64);
    Ok(())
}

pub(crate) fn resident() -> Result<f64, Box<dyn std::error::Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = statm.split(' ').nth(1).ok_or("no resident size")?.parse()?;
    Ok(pages * 4096.0)
}
