//! A service whose limits are seen by Prometheus: it serves `/metrics`, sends itself requests from
//! a few clients, and prints what Prometheus would read.
//!
//! ```console
//! cargo run -p monitoring            # 5 seconds
//! cargo run -p monitoring -- 600     # long enough to look at /metrics
//! ```
//!
//! With `REDIS_URL` it counts in Redis, and shows that, too. For Grafana there is a dashboard in
//! `examples/monitoring/dashboard.json`.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tollgate::{Limiter, MemoryBackend, Metrics, RedisBackend, rate_limit};

/// In seconds: a check takes less than a microsecond in memory, and a journey on Redis.
const SECONDS: [f64; 11] =
    [0.000_001, 0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.01, 0.1, 0.25, 1.0];
/// At most 128 operations go in one call.
const BATCH: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

#[rate_limit(5, per = second, key = header("x-client"))]
async fn search() -> &'static str {
    "found"
}

/// Would 20 in a second be enough for all? Nobody is refused to find out.
#[rate_limit(20, per = second, key = global, shadow)]
async fn report() -> &'static str {
    "reported"
}

/// What Prometheus reads. The gauges are as of now.
async fn metrics((prometheus, limiter): (PrometheusHandle, Limiter)) -> String {
    limiter.record_metrics().await;
    prometheus.run_upkeep();
    prometheus.render()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds: u64 = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?,
        None => 5,
    };
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_batch_size".to_owned()), &BATCH)?
        .install_recorder()?;
    let builder = match std::env::var("REDIS_URL") {
        Ok(url) if !url.is_empty() => Limiter::builder(RedisBackend::from_url(&url).await?),
        _ => Limiter::builder(MemoryBackend::new()),
    };
    let limiter = builder
        .metrics(Metrics::new().servers())
        .on_near_limit(|near| {
            // Here a service would warn a customer, say. The subject is the hash of its name.
            let _ = (near.policy().name(), near.subject(), near.remaining());
        })
        .build();
    limiter.initialize().await?;
    let state = (prometheus, limiter.clone());
    let app = Router::new()
        .route("/search", get(search))
        .route("/report", get(report))
        .layer(limiter.layer())
        .route("/metrics", get(|State(state)| metrics(state)).with_state(state));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    println!("For {seconds} seconds, or until Ctrl-C: curl http://{address}/metrics\n");
    tokio::select! {
        () = load(address) => {}
        () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    let text = reqwest::get(format!("http://{address}/metrics")).await?.text().await?;
    for line in text.lines().filter(|line| line.starts_with("tollgate_") && !line.contains("le=")) {
        println!("{line}");
    }
    limiter.close().await;
    if !text.contains("outcome=\"refused\"") {
        return Err("nobody was refused, or nobody noticed".into());
    }
    Ok(())
}

/// Three clients, of which the third asks twice as often as it may.
async fn load(address: SocketAddr) {
    let client = reqwest::Client::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for tick in 0_u64.. {
        ticks.tick().await;
        for (who, every) in [("ann", 10), ("bob", 4), ("eve", 1)] {
            if tick % every == 0 {
                let request = client.get(format!("http://{address}/search"));
                // The server may have ended before this.
                let _ = request.header("x-client", who).send().await;
            }
        }
        for _ in 0..3 {
            let _ = client.get(format!("http://{address}/report")).send().await;
        }
    }
}
