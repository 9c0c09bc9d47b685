//! The memory that a key takes on the server: what many keys make it grow by, divided by their
//! number. The subjects are asked in turn, as in traffic, so that logs grow between those of others.
//!
//! `bytes` is of resident memory, `used_bytes` of what the server's allocator gave out; the names of
//! the keys, of 32 bytes or a few more, and the server's table are in both. For `sliding_window`
//! after 1, 10 and 100 admissions; the other algorithms keep as much after the first as later.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tollgate::{Algorithm, Limiter, Policy, RedisBackend};

use super::server::Server;
use super::{HOUR, Result, policy, runtime};
use crate::name;

/// Admissions, and the number of keys.
const CASES: [(u32, u32); 3] = [(1, 50_000), (10, 20_000), (100, 10_000)];
const TASKS: u32 = 128;

pub(super) fn run() -> Result<()> {
    let runtime = runtime()?;
    for &algorithm in Algorithm::ALL {
        // Each admission has an entry in the log, and none expires meanwhile.
        let policy = Arc::new(policy(algorithm, 1000, HOUR));
        let cases = if algorithm == Algorithm::SlidingWindow { &CASES[..] } else { &CASES[..1] };
        for &(admissions, keys) in cases {
            let [resident, used] = bytes_per_key(&runtime, &policy, admissions, keys)?;
            let name = name(algorithm);
            println!("figure redis.{name}.bytes.{admissions} {resident:.0}");
            println!("figure redis.{name}.used_bytes.{admissions} {used:.0}");
        }
    }
    Ok(())
}

/// The resident and the used memory of a key, on a server that nothing has grown yet.
fn bytes_per_key(
    runtime: &Runtime,
    policy: &Arc<Policy>,
    admissions: u32,
    keys: u32,
) -> Result<[f64; 2]> {
    let server = Server::start()?;
    let backend = RedisBackend::builder(&server.url()).deadline(Duration::from_secs(10)).build()?;
    let limiter = Arc::new(Limiter::new(backend));
    // What the server needs for the script and for calls of any size is there before the keys are.
    for _ in 0..50 {
        admit(runtime, &limiter, policy, "warm", TASKS)?;
    }
    let before = server.memory()?;
    for _ in 0..admissions {
        admit(runtime, &limiter, policy, "user", keys)?;
    }
    let after = server.memory()?;
    let of_a_key = |after: f64, before: f64| (after - before) / f64::from(keys);
    Ok([of_a_key(after.resident, before.resident), of_a_key(after.used, before.used)])
}

/// Admits each of the subjects once.
fn admit(
    runtime: &Runtime,
    limiter: &Arc<Limiter>,
    policy: &Arc<Policy>,
    group: &'static str,
    subjects: u32,
) -> Result<()> {
    runtime.block_on(async {
        let mut tasks: JoinSet<std::result::Result<(), String>> = (0..TASKS)
            .map(|task| {
                let (limiter, policy) = (Arc::clone(limiter), Arc::clone(policy));
                async move {
                    for number in (task..subjects).step_by(TASKS as usize) {
                        let subject = format!("{group}-{number:05}");
                        let checked = limiter.check(&policy, &subject).await;
                        let decision = checked.map_err(|error| error.to_string())?;
                        if !decision.is_allowed() {
                            return Err("a check was refused".to_owned());
                        }
                    }
                    Ok(())
                }
            })
            .collect();
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    })
}
