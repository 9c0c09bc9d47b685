//! The time of a check over a line of 2 ms each way: ours by `sliding_window`, which is the default,
//! against the plain script over one shared connection that sends each call at once. Requests arrive
//! at fixed instants whether or not others have been answered, and their time counts from these.
//!
//! The two take turns; the ratio is the median of those of the rounds.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tollgate::Algorithm;

use super::contenders::Contender;
use super::line::Line;
use super::server::Server;
use super::{HOUR, LIMIT, Result, policy, ratio, runtime};
use crate::median;

const DELAY: Duration = Duration::from_millis(2);
/// Arrivals a second.
const RATES: [u32; 4] = [100, 400, 1500, 5000];
const ROUNDS: usize = 3;
const TURN: Duration = Duration::from_millis(2500);
const WARM_UP: Duration = Duration::from_millis(300);
const KEYS: u32 = 10_000;
const PERCENTILES: [usize; 3] = [50, 90, 99];

/// Samples of a contender, one a turn.
#[derive(Default)]
struct Samples {
    /// For each of the percentiles, in milliseconds.
    millis: [Vec<f64>; PERCENTILES.len()],
    /// Script calls for a check.
    calls: Vec<f64>,
}

pub(super) fn run() -> Result<()> {
    let server = Server::start()?;
    let url = Line::start(server.address(), DELAY)?.url();
    let runtime = runtime()?;
    let contenders = [
        Contender::ours(&url, policy(Algorithm::SlidingWindow, LIMIT, HOUR))?,
        runtime.block_on(Contender::multiplexed_nodelay(&url))?,
    ]
    .map(Arc::new);
    for rate in RATES {
        let mut samples: [Samples; 2] = Default::default();
        for contender in &contenders {
            turn(&runtime, contender, rate, WARM_UP)?;
        }
        for _ in 0..ROUNDS {
            for (contender, samples) in contenders.iter().zip(&mut samples) {
                let before = server.script_calls()?;
                let millis = turn(&runtime, contender, rate, TURN)?;
                samples.calls.push((server.script_calls()? - before) / millis.len() as f64);
                for (percentile, samples) in PERCENTILES.iter().zip(&mut samples.millis) {
                    samples.push(millis[(millis.len() - 1) * percentile / 100]);
                }
            }
        }
        for (contender, samples) in contenders.iter().zip(&samples) {
            let [p50, p90, p99] = samples.millis.clone().map(median);
            println!(
                "{}, {rate} arrivals/s: {p50:.2} ms, 90 % {p90:.2} ms, 99 % {p99:.2} ms, {:.3} calls for a check",
                contender.name(),
                median(samples.calls.clone())
            );
        }
        let [ours, theirs] = &samples;
        for (index, percentile) in PERCENTILES.iter().enumerate() {
            let ratio = ratio(&ours.millis[index], &theirs.millis[index]);
            println!("ratio redis.latency.p{percentile}.{rate} {ratio:.3}");
        }
        println!("ratio redis.latency.calls.{rate} {:.3}", ratio(&ours.calls, &theirs.calls));
    }
    Ok(())
}

/// The time of each check, in milliseconds, sorted.
fn turn(
    runtime: &Runtime,
    contender: &Arc<Contender>,
    rate: u32,
    length: Duration,
) -> Result<Vec<f64>> {
    let arrivals = (length.as_secs_f64() * f64::from(rate)) as u32;
    let began = Instant::now();
    // A timer of the runtime would let them arrive together, once in a millisecond.
    let checks: Vec<JoinHandle<std::result::Result<f64, String>>> = (0..arrivals)
        .map(|arrival| {
            let due = began + Duration::from_secs(1) * arrival / rate;
            sleep(due.saturating_duration_since(Instant::now()));
            let contender = Arc::clone(contender);
            runtime.spawn(async move {
                // Coprime with the number of keys: all of them, in no simple order.
                let key = (arrival * 3_937 % KEYS).to_string();
                contender.check(&key).await.map_err(|error| error.to_string())?;
                Ok(due.elapsed().as_secs_f64() * 1e3)
            })
        })
        .collect();
    let mut millis = runtime.block_on(async {
        let mut millis = Vec::with_capacity(checks.len());
        for check in checks {
            millis.push(check.await??);
        }
        Ok::<_, Box<dyn std::error::Error>>(millis)
    })?;
    millis.sort_by(f64::total_cmp);
    Ok(millis)
}
