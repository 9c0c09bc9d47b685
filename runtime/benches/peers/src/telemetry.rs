//! What is added to a check in memory, and to a request, by telemetry: where no recorder is
//! installed, and where Prometheus's is. Both against a limiter that counts nothing.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusBuilder;
use tollgate::{Algorithm, Limiter, MemoryBackend, Metrics, Policy, Quota, rate_limit};
use tower::Service as _;

use crate::decide::admits;
use crate::median;

const ROUNDS: usize = 41;
const CHECKS: u32 = 200_000;
const REQUESTS: u32 = 20_000;
/// Never used up.
static POLICY: Policy =
    Policy::new("peers::telemetry", Quota::new(1, Duration::from_secs(1)).burst(300_000_000))
        .algorithm(Algorithm::Gcra);

#[rate_limit(1, per = second, key = global, algorithm = gcra, burst = 300_000_000)]
async fn annotated() -> &'static str {
    "ok"
}

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let check = |limiter: &Limiter| {
        let start = Instant::now();
        for _ in 0..CHECKS {
            assert!(admits(limiter, &POLICY, "192.0.2.1"));
        }
        start.elapsed().as_nanos() as f64 / f64::from(CHECKS)
    };
    compare("telemetry.check", check)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let request = |limiter: &Limiter| {
        let mut app = Router::new().route("/", get(annotated)).layer(limiter.layer());
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..REQUESTS {
                let response = app.call(Request::new(Body::empty())).await;
                assert!(black_box(response).is_ok_and(|response| response.status() == 200));
            }
            start.elapsed().as_nanos() as f64 / f64::from(REQUESTS)
        })
    };
    compare("telemetry", request)
}

fn compare(name: &str, time: impl Fn(&Limiter) -> f64) -> Result<(), Box<dyn Error>> {
    let recorder =
        PrometheusBuilder::new().set_buckets(&[1e-7, 1e-6, 1e-5, 1e-3])?.build_recorder();
    let limiter =
        |metrics: Option<Metrics>| Limiter::builder(MemoryBackend::new()).metrics(metrics).build();
    let (off, on, recorded) =
        (limiter(None), limiter(Some(Metrics::new())), limiter(Some(Metrics::new())));
    let mut ratios = [Vec::new(), Vec::new()];
    let mut times = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        // Each goes first as often as the others.
        let mut took = [0.0; 3];
        for turn in 0..3 {
            let which = (round + turn) % 3;
            took[which] = match which {
                0 => time(&off),
                1 => time(&on),
                _ => {
                    let _listening = metrics::set_default_local_recorder(&recorder);
                    time(&recorded)
                }
            };
        }
        // As an exporter does now and then.
        recorder.handle().run_upkeep();
        let [off, on, recorded] = took;
        ratios[0].push(on / off);
        ratios[1].push(recorded / off);
        times.iter_mut().zip(took).for_each(|(times, took)| times.push(took));
    }
    let [off, on, recorded] = times.map(median);
    println!(
        "{name}: {off:.1} ns turned off, {on:.1} ns without a recorder, {recorded:.1} ns with \
         Prometheus's"
    );
    let [none, recorder] = ratios.map(median);
    println!("ratio {name}.none {none:.3}");
    println!("ratio {name}.recorder {recorder:.3}");
    Ok(())
}
