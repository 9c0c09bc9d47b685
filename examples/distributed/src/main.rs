//! Three instances of one app share a Redis: 150 concurrent requests, spread over them, against
//! a limit of 100. Exactly 100 get through; otherwise it exits with an error.
//!
//! ```console
//! cargo run -p distributed
//! ```
//!
//! It starts a Redis of its own, which must be installed, unless `REDIS_URL` names one.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use own_redis::OwnRedis;
use tollgate::{Limiter, RedisBackend, rate_limit};

const INSTANCES: usize = 3;
const REQUESTS: usize = 150;
const LIMIT: usize = 100;

#[rate_limit(LIMIT as u32, per = minute)]
async fn data() -> &'static str {
    "data\n"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let mut own = None;
    let url = match std::env::var("REDIS_URL") {
        Ok(url) if !url.is_empty() => url,
        _ => own.insert(OwnRedis::start()?).url(),
    };
    // A budget of this run's own: who runs it twice in a minute sees the same twice.
    let prefix = format!("tollgate:distributed-example:{}:", std::process::id());

    let mut instances = Vec::new();
    for _ in 0..INSTANCES {
        let backend = RedisBackend::builder(&url)
            .key_prefix(&prefix)
            .deadline(Duration::from_secs(5))
            .build()?;
        let limiter = Limiter::new(backend);
        limiter.initialize().await?;
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        instances.push(listener.local_addr()?);
        let app = Router::new().route("/api/data", get(data)).layer(limiter.layer());
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await });
    }

    let client = reqwest::Client::new();
    let requests: tokio::task::JoinSet<_> = (0..REQUESTS)
        .map(|number| {
            let instance = instances[number % INSTANCES];
            let request = client.get(format!("http://{instance}/api/data"));
            async move { request.send().await.map(|response| response.status().as_u16()) }
        })
        .collect();
    let mut counts = [0, 0];
    for status in requests.join_all().await {
        match status? {
            200 => counts[0] += 1,
            429 => counts[1] += 1,
            other => return Err(format!("a request was answered with {other}").into()),
        }
    }
    let [successes, limited] = counts;
    println!("Successes: {successes}, Rate limited: {limited}");
    if successes == LIMIT && limited == REQUESTS - LIMIT {
        Ok(())
    } else {
        Err(format!("{LIMIT} should have succeeded").into())
    }
}
