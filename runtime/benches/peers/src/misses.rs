//! Cache misses per check, simulated by callgrind: what is in no cache of 512 KiB. No neighbour
//! disturbs them, unlike the times of checks of many keys, which are mostly waits for memory.

use std::sync::Arc;
use std::time::Duration;

use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Limiter, MemoryBackend, Quota};

use crate::callgrind::callgrind;
use crate::decide::admits;
use crate::memory::{Theirs, policy, shuffled, theirs_admitting};
use crate::name;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// So many that no store fits into the cache, and few enough for a simulation.
const KEYS: usize = 20_000;
/// The rounds through all keys before the one that counts, one a second.
const ROUNDS: u32 = 12;
/// The second of two windows has four admissions in a period, and the first a dozen.
const STORES: [&str; 4] = ["gcra", "sliding_window", "sliding_window_4", "governor"];

/// Prints `figure memory.STORE.misses VALUE` for each store.
pub(crate) fn run() -> Result<()> {
    for store in STORES {
        println!("figure memory.{store}.misses {:.2}", count(store)? / KEYS as f64);
    }
    Ok(())
}

/// Misses of reads, writes and instructions within [`counted`].
fn count(store: &str) -> Result<f64> {
    let caches = ["--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=524288,8,64"];
    // Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw
    match callgrind(&caches, "peers::misses::counted", ["misses-of", store])?[..] {
        [_, _, _, _, _, _, fetches, reads, writes] => Ok(fetches + reads + writes),
        ref counts => Err(format!("callgrind counted {counts:?} of {store}").into()),
    }
}

/// The only function whose misses count, with those that it calls.
#[inline(never)]
fn counted(round: &mut dyn FnMut()) {
    round();
}

/// Runs the checks of a store, given its name.
pub(crate) fn run_store(store: &str) -> Result<()> {
    let clock = ManualClock::new();
    let check = store_of(store, clock.clone())?;
    let keys = shuffled(KEYS);
    // The keys lie one after the other, as a request's key is in the cache when it is used.
    let text: String = keys.iter().map(String::as_str).collect();
    let lengths: Vec<u8> = keys.iter().map(|key| key.len() as u8).collect();
    let mut round = || {
        clock.advance(Duration::from_secs(1));
        let mut at = 0;
        for length in &lengths {
            let end = at + usize::from(*length);
            assert!(check(&text[at..end]), "the store refused a check");
            at = end;
        }
    };
    (0..ROUNDS).for_each(|_| round());
    counted(&mut round);
    Ok(())
}

fn store_of(store: &str, clock: ManualClock) -> Result<Box<dyn Fn(&str) -> bool>> {
    let quota = match store {
        "gcra" => Quota::new(1, Duration::from_secs(1)).burst(1_000),
        "sliding_window" => Quota::new(1_000, Duration::from_secs(ROUNDS.into())),
        "sliding_window_4" => Quota::new(1_000, Duration::from_secs(4)),
        "governor" => {
            let theirs: Arc<Theirs> = Arc::new(theirs_admitting());
            return Ok(Box::new(move |key| theirs.check_key(&key.to_owned()).is_ok()));
        }
        _ => return Err(format!("there is no store {store}").into()),
    };
    let store = store.trim_end_matches("_4");
    let algorithm = Algorithm::ALL.iter().copied().find(|known| name(*known) == store);
    let policy = policy(quota, algorithm.ok_or("there is no such algorithm")?);
    let backend = MemoryBackend::builder().max_keys(2 * KEYS).clock(clock).build();
    let limiter = Limiter::new(backend);
    Ok(Box::new(move |key| admits(&limiter, &policy, key)))
}
