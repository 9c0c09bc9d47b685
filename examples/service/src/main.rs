//! A service as it is deployed: configured from outside, ready during an outage of its Redis, and
//! ended by a signal. Beside it are a Dockerfile and a compose file; `examples/kubernetes` has the
//! manifests.
//!
//! ```console
//! cargo run -p service       # in memory, on port 8080, until Ctrl-C
//! ```
//!
//! | variable | |
//! |---|---|
//! | `PORT` | where it listens: 8080 |
//! | `METRICS_PORT` | where metrics are read, which are not for everybody: 9090 |
//! | `REDIS_URL` | where it counts; this process's memory if it is not set |
//! | `CONFIG_FILE` | a file of settings, followed while it runs; none if it is not set |
//! | `TOLLGATE_…` | single settings, as the documentation of `tollgate::Config` lists them |

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tollgate::{Config, Limiter, rate_limit, set_limiter};

/// Seconds: a check takes less than a microsecond in memory, and a journey on Redis.
const SECONDS: [f64; 8] = [0.000_001, 0.000_01, 0.000_1, 0.000_5, 0.001, 0.01, 0.1, 0.25];

/// Of little cost: rather too many of them than none while Redis is away.
#[rate_limit(100, per = minute, name = "items", skip_on_error)]
async fn items() -> &'static str {
    "[]\n"
}

/// What must not be tried often is refused while nobody counts.
#[rate_limit(5, per = minute, name = "login")]
async fn login() -> &'static str {
    "welcome\n"
}

/// That it runs. Whether Redis does is not asked: without it the service is still of use, and a
/// probe that failed with it would take down all replicas at once.
async fn health() -> &'static str {
    "ok\n"
}

async fn metrics(State((prometheus, limiter)): State<(PrometheusHandle, Limiter)>) -> String {
    limiter.record_metrics().await;
    prometheus.run_upkeep();
    prometheus.render()
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt::init();
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let (port, metrics_port) = (port("PORT", 8080)?, port("METRICS_PORT", 9090)?);
    let file = std::env::var_os("CONFIG_FILE");
    let config = match &file {
        Some(file) => Config::load(file)?,
        None => Config::from_env()?,
    };
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    let limiter = Limiter::from_config(&config)?;
    match limiter.initialize().await {
        // A replica can be added while Redis is away, though `login` is closed until it is there. A
        // Redis that refuses, for instance the password, would do so for ever.
        Err(error) if error.is_away() => {
            tracing::error!(%error, "Redis is not ready; the limits do what they say of that");
        }
        initialized => initialized?,
    }
    let _watcher = file.map(|_| config.watch(limiter.clone())).transpose()?;
    set_limiter(limiter.clone());

    let app = Router::new()
        .route("/items", get(items))
        .route("/login", post(login))
        .route("/health", get(health))
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    // The names of policies and what they refuse are nobody's business outside: the port is not
    // published.
    let metrics = get(metrics).with_state((prometheus, limiter.clone()));
    let metrics = Router::new().route("/metrics", metrics);
    let inside = tokio::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, metrics_port)).await?;
    println!("Metrics on port {}", inside.local_addr()?.port());
    tokio::spawn(async move { axum::serve(inside, metrics).await });
    println!("Listening on port {}", listener.local_addr()?.port());
    axum::serve(listener, app).with_graceful_shutdown(ended()).await?;
    limiter.close().await;
    Ok(())
}

/// Reads a port number from the environment.
fn port(variable: &str, default: u16) -> Result<u16, String> {
    match std::env::var(variable) {
        Ok(port) => port.parse().map_err(|_| format!("{variable} is not a port number: {port:?}")),
        Err(_) => Ok(default),
    }
}

/// Containers are told to end with SIGTERM, and people press Ctrl-C.
async fn ended() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
