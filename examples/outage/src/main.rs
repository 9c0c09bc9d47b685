//! A service under steady load, while its Redis is killed, comes back, hangs and comes back
//! again. Every second a line says what became of the requests.
//!
//! ```console
//! cargo run -p outage          # 20 seconds
//! cargo run -p outage -- 2     # 2 seconds for each of the five parts
//! ```
//!
//! It starts a Redis of its own, which must be installed.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use own_redis::OwnRedis;
use tollgate::stats::BreakerState;
use tollgate::{CircuitBreaker, Limiter, RateLimit, RedisBackend, rate_limit};

/// What each limit admits, and how many requests a second come to each.
const LIMIT: u32 = 40;
const LOAD: u32 = 50;

/// While Redis is away: 503, at once.
#[rate_limit(LIMIT, per = second, key = global)]
async fn closed(limit: RateLimit) -> &'static str {
    decided_by(&limit)
}

/// While Redis is away: whoever comes passes.
#[rate_limit(LIMIT, per = second, key = global, on_error = open)]
async fn open(limit: RateLimit) -> &'static str {
    decided_by(&limit)
}

/// While Redis is away: this process's share of the limit passes.
#[rate_limit(LIMIT, per = second, key = global, on_error = local)]
async fn local(limit: RateLimit) -> &'static str {
    decided_by(&limit)
}

const ROUTES: [&str; 3] = ["closed", "open", "local"];

fn decided_by(limit: &RateLimit) -> &'static str {
    limit.decisions().first().map_or("nobody", |decision| decision.source().as_str())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds: u32 = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?,
        None => 4,
    };
    let mut redis = OwnRedis::start()?;
    let limiter = Limiter::builder(RedisBackend::from_url(&redis.url()).await?)
        // Two such processes would share the limits, so each has half of them.
        .instances(2)
        // It tries again within a second even after long: for who watches.
        .breaker(CircuitBreaker::new().max_reset_timeout(Duration::from_secs(1)))
        .build();
    limiter.initialize().await?;
    let app = Router::new()
        .route("/closed", get(closed))
        .route("/open", get(open))
        .route("/local", get(local))
        .layer(limiter.layer())
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    let tally = Arc::new(Mutex::new(Tally::default()));
    tokio::spawn(load(address, Arc::clone(&tally)));
    println!("{LOAD} requests a second to each of {ROUTES:?}, each of which admits {LIMIT}.\n");
    println!("redis    requests  passed  refused  failed   slowest  breaker    passed by");
    let mut states = Vec::new();
    for part in ["up", "killed", "up", "hangs", "up"] {
        match part {
            "killed" => redis.kill(),
            "hangs" => redis.signal("STOP")?,
            _ if !redis.runs() => redis.run()?,
            _ => redis.signal("CONT")?,
        }
        for _ in 0..seconds.max(1) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let tally = std::mem::take(&mut *lock(&tally));
            let state = limiter.stats().breaker.map_or(BreakerState::Closed, |stats| stats.state);
            println!("{part:<7}  {tally}  {:<9}  {}", state.as_str(), tally.sources());
            if tally.broken > 0 {
                return Err(format!("{} requests were not answered at all", tally.broken).into());
            }
            states.push((part, state));
        }
    }
    let at_the_end = |part| states.iter().rfind(|(at, _)| *at == part).map(|(_, state)| *state);
    println!("\nRequests were answered all the time, whatever became of Redis.");
    if seconds > 1 && at_the_end("up") != Some(BreakerState::Closed) {
        return Err("the limiter did not notice that Redis is back".into());
    }
    Ok(())
}

/// Sends requests at a steady rate, however long each of them takes.
async fn load(address: SocketAddr, tally: Arc<Mutex<Tally>>) {
    let client = reqwest::Client::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / LOAD);
    loop {
        ticks.tick().await;
        for route in ROUTES {
            let request = client.get(format!("http://{address}/{route}"));
            let tally = Arc::clone(&tally);
            tokio::spawn(async move {
                let since = Instant::now();
                let answer = async {
                    let response = request.send().await?;
                    let status = response.status().as_u16();
                    Ok::<_, reqwest::Error>((status, response.text().await?))
                };
                let answer = answer.await;
                lock(&tally).count(route, answer.ok(), since.elapsed());
            });
        }
    }
}

/// What became of the requests of one second.
#[derive(Default)]
struct Tally {
    passed: u32,
    refused: u32,
    failed: u32,
    broken: u32,
    slowest: Duration,
    passed_by: BTreeMap<String, u32>,
}

impl Tally {
    fn count(&mut self, route: &str, answer: Option<(u16, String)>, took: Duration) {
        match answer {
            Some((200, source)) => {
                self.passed += 1;
                *self.passed_by.entry(format!("{source} ({route})")).or_default() += 1;
            }
            Some((429, _)) => self.refused += 1,
            Some((503, _)) => self.failed += 1,
            _ => self.broken += 1,
        }
        self.slowest = self.slowest.max(took);
    }

    fn sources(&self) -> String {
        let sources: Vec<String> =
            self.passed_by.iter().map(|(source, count)| format!("{source} {count}")).collect();
        sources.join(", ")
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { passed, refused, failed, .. } = self;
        let requests = passed + refused + failed;
        let slowest = self.slowest.as_secs_f64() * 1_000.0;
        write!(f, "{requests:8}  {passed:6}  {refused:7}  {failed:6}  {slowest:5.1} ms")
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
