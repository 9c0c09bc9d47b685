//! A Redis Cluster: each subject's counters are on the node that serves its slot, and checks follow
//! them when slots move.
//!
//! ```console
//! cargo run --example cluster
//! ```
//!
//! It expects nodes of a cluster on localhost:7000 to 7002; name others as
//! `REDIS_URL=redis://a:6379,b:6379,c:6379`. Not all need be named.

use std::error::Error;
use std::time::{Duration, Instant};

use tollgate::{Limiter, Policy, Quota, RedisBackend};

const POLICY: Policy = Policy::new("cluster-example", Quota::new(3, Duration::from_secs(10)));

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let url = std::env::var("REDIS_URL")
        .unwrap_or_else(|_| "redis://localhost:7000,localhost:7001,localhost:7002/0".to_owned());
    let limiter = Limiter::new(RedisBackend::from_url(&url).await?);
    limiter.initialize().await?;

    let began = Instant::now();
    let checks: tokio::task::JoinSet<_> =
        (0..1_000)
            .map(|number| {
                let limiter = limiter.clone();
                let subject = format!("subject {}", number % 250);
                async move {
                    limiter.check(&POLICY, &subject).await.map(|decision| decision.is_allowed())
                }
            })
            .collect();
    let answers = checks.join_all().await;
    let allowed = answers.iter().filter(|answer| matches!(answer, Ok(true))).count();
    let refused = answers.iter().filter(|answer| matches!(answer, Ok(false))).count();
    println!(
        "4 checks of each of 250 subjects, at 3 each: {allowed} allowed, {refused} refused, in {:?}",
        began.elapsed()
    );
    limiter.close().await;
    Ok(())
}
