//! Comparisons, each printed as `ratio NAME VALUE`: ours divided by the other's, from
//! interleaved runs, with the absolute figures beside it.

mod http;
mod macros;
mod memory;
mod redis;
#[cfg(feature = "telemetry")]
mod telemetry;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("http") => http::run(),
        Some("macros") => macros::run(),
        Some("memory") => memory::run(&arguments.next().unwrap_or_default()),
        Some("memory-of") => memory::bytes_per_key_of(&arguments.next().unwrap_or_default()),
        Some("redis") => redis::run(),
        #[cfg(feature = "telemetry")]
        Some("telemetry") => telemetry::run(),
        _ => Err("say which comparison to run: memory, http, redis or macros, or telemetry with the feature of that name".into()),
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
