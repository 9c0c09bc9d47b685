//! A Redis Cluster: each subject's counters are on the node that serves its slot, and checks follow
//! them when slots move.
//!
//! ```console
//! cargo run -p cluster
//! ```
//!
//! It starts a cluster of its own, for which Redis must be installed, unless `REDIS_URL` names one:
//! `redis://a:6379,b:6379,c:6379`. Not all nodes need be named.

use std::error::Error;
use std::time::{Duration, Instant};

use own_redis::OwnCluster;
use tollgate::{Limiter, Policy, Quota, RedisBackend};

const POLICY: Policy = Policy::new("cluster-example", Quota::new(3, Duration::from_secs(10)));

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let mut own = None;
    let url = match std::env::var("REDIS_URL") {
        Ok(url) if !url.is_empty() => url,
        _ => own.insert(OwnCluster::start()?).url(),
    };
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
