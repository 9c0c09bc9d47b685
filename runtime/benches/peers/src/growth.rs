//! What a store takes while ten million keys come: the slowest checks, which are those that make it
//! grow, and its memory.

use std::process::Command;
use std::time::{Duration, Instant};

use tollgate::{Algorithm, Limiter, MemoryBackend, Quota};

use crate::decide::admits;
use crate::memory::{policy, resident, theirs_admitting};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const KEYS: u32 = 10_000_000;
const STORES: [&str; 3] = ["gcra", "sliding_window", "governor"];

/// Prints `figure memory.growth.STORE.WHAT VALUE`, each store in a process of its own.
pub(crate) fn run() -> Result<()> {
    for store in STORES {
        Command::new(std::env::current_exe()?).args(["growth-of", store]).status()?;
    }
    Ok(())
}

/// Adds the keys to a store, given its name.
pub(crate) fn run_store(store: &str) -> Result<()> {
    let ours = |algorithm| {
        let limiter = Limiter::new(MemoryBackend::builder().max_keys(KEYS as usize).build());
        // No key is forgotten before all are there.
        let policy = policy(Quota::new(12, Duration::from_secs(3_600)), algorithm);
        move |key: &str| admits(&limiter, &policy, key)
    };
    match store {
        "gcra" => grow(store, ours(Algorithm::Gcra)),
        "sliding_window" => grow(store, ours(Algorithm::SlidingWindow)),
        "governor" => {
            let theirs = theirs_admitting();
            grow(store, |key| theirs.check_key(&key.to_owned()).is_ok())
        }
        _ => Err(format!("there is no store {store}").into()),
    }
}

fn grow(store: &str, check: impl Fn(&str) -> bool) -> Result<()> {
    let mut nanos = vec![0_u32; KEYS as usize];
    // Touched, so that the system gives the memory now.
    nanos.fill(1);
    let before = resident()?;
    for (number, nanos) in (0..KEYS).zip(&mut nanos) {
        // An odd factor makes them come in no order.
        let address = std::net::Ipv4Addr::from(number.wrapping_mul(2_654_435_761)).to_string();
        let started = Instant::now();
        assert!(check(&address), "a new key was refused");
        *nanos = u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX);
    }
    let bytes = (resident()? - before) / f64::from(KEYS);
    nanos.sort_unstable();
    let micros = |one_in: usize| f64::from(nanos[nanos.len() - nanos.len() / one_in]) / 1_000.0;
    println!("figure memory.growth.{store}.bytes {bytes:.0}");
    println!("figure memory.growth.{store}.median_us {:.2}", micros(2));
    println!("figure memory.growth.{store}.slowest_1_in_1000_us {:.1}", micros(1_000));
    println!("figure memory.growth.{store}.slowest_1_in_10000_us {:.1}", micros(10_000));
    println!("figure memory.growth.{store}.slowest_us {:.0}", micros(KEYS as usize));
    Ok(())
}
