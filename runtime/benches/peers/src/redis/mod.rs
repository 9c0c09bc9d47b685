//! Comparisons in Redis, on servers of their own. Each part says what it compares.

mod bytes;
mod checks;
mod contenders;
mod cpu;
mod hold;
mod latency;
mod line;
mod server;
mod turns;

use std::error::Error;
use std::time::Duration;

use tokio::runtime::Runtime;
use tollgate::{Algorithm, Policy, Quota};

use crate::{median, name};

const HOUR: Duration = Duration::from_secs(3600);
/// Never used up.
const LIMIT: u32 = 100_000_000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs a part, or all of them if it is the empty text.
pub(crate) fn run(part: &str) -> Result<()> {
    match part {
        "" => {
            for part in [checks::run, cpu::run, bytes::run, latency::run, hold::run] {
                part()?;
            }
            Ok(())
        }
        "bytes" => bytes::run(),
        "checks" => checks::run(),
        "cpu" => cpu::run(),
        "hold" => hold::run(),
        "latency" => latency::run(),
        _ => Err(format!("redis has no part {part}: bytes, checks, cpu, hold or latency").into()),
    }
}

/// Prints ours alone, for two commits.
pub(crate) fn figures(part: &str) -> Result<()> {
    match part {
        "redis" => checks::figures(),
        "redis-bytes" => bytes::run(),
        "redis-hold" => hold::run(),
        _ => Err(format!("there are no figures of {part}").into()),
    }
}

/// The policy of an algorithm, under its own name, so that no state changes its form.
fn policy(algorithm: Algorithm, limit: u32, period: Duration) -> Policy {
    Policy::named(name(algorithm), Quota::new(limit, period)).algorithm(algorithm)
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// The median of the quotients of samples that were taken in turn.
fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
}
