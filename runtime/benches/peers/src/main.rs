//! Comparisons, each printed as `ratio NAME VALUE`: ours divided by the other's, from
//! interleaved runs, with the absolute figures beside it. `figures` and `instructions` print ours
//! alone; `compare-commits.sh` runs them at two commits.

mod callgrind;
mod decide;
mod growth;
mod http;
mod instructions;
mod macros;
mod memory;
mod misses;
#[cfg(feature = "permits")]
mod permits;
mod redis;
#[cfg(feature = "telemetry")]
mod telemetry;

use std::process::ExitCode;

use tollgate::Algorithm;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("figures") => match arguments.next().as_deref() {
            Some("http") => http::figures(),
            Some("memory") => {
                memory::figures(&arguments.next().unwrap_or_default());
                Ok(())
            }
            Some(part @ ("redis" | "redis-bytes" | "redis-hold")) => redis::figures(part),
            _ => Err("say which figures to print: http, memory, redis, redis-bytes or redis-hold"
                .into()),
        },
        Some("growth") => growth::run(),
        Some("growth-of") => growth::run_store(&arguments.next().unwrap_or_default()),
        Some("http") => http::run(),
        Some("instructions") => instructions::run(),
        Some("instructions-of") => instructions::run_case(&arguments.next().unwrap_or_default()),
        Some("macros") => macros::run(),
        Some("memory") => memory::run(&arguments.next().unwrap_or_default()),
        Some("memory-of") => memory::bytes_per_key_of(&arguments.next().unwrap_or_default()),
        Some("misses") => misses::run(),
        Some("misses-of") => misses::run_store(&arguments.next().unwrap_or_default()),
        Some("redis") => redis::run(&arguments.next().unwrap_or_default()),
        #[cfg(feature = "permits")]
        Some("permits") => permits::run(),
        #[cfg(feature = "telemetry")]
        Some("telemetry") => telemetry::run(),
        _ => Err("say which comparison to run: memory, growth, misses, http, redis, macros or instructions, or permits or telemetry with the feature of that name".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The median.
pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// The algorithm's name in the attribute. The library's own method for it has another name at older
/// commits.
fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::SlidingWindow => "sliding_window",
        Algorithm::SlidingWindowCounter => "sliding_window_counter",
        Algorithm::FixedWindow => "fixed_window",
        Algorithm::TokenBucket => "token_bucket",
        Algorithm::LeakyBucket => "leaky_bucket",
        Algorithm::Gcra => "gcra",
        other => panic!("{other:?} has no name here yet"),
    }
}
