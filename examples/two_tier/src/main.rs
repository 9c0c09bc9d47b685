//! A local tier before Redis: what refused clients and a hot key cost in round trips, without
//! it and with it. It is one line of configuration.
//!
//! ```console
//! cargo run -p two_tier
//! ```
//!
//! It starts a Redis of its own, which must be installed, unless `REDIS_URL` names one.

use std::error::Error;
use std::time::Duration;

use own_redis::OwnRedis;
use tollgate::{Limiter, LocalTier, Policy, Quota, RedisBackend, Source};

const MINUTE: Duration = Duration::from_secs(60);
/// Nothing here is in a hurry.
const PATIENCE: Duration = Duration::from_secs(5);
const REQUESTS: u32 = 5_000;

const LOGIN: Policy = Policy::new("login", Quota::new(5, MINUTE));
const SEARCH: Policy = Policy::new("search", Quota::new(1_000_000, MINUTE));

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let mut own = None;
    let url = match std::env::var("REDIS_URL") {
        Ok(url) if !url.is_empty() => url,
        _ => own.insert(OwnRedis::start()?).url(),
    };
    let mut server = redis::Client::open(url.as_str())?.get_connection()?;

    println!("{REQUESTS} requests of a client that is refused, and as many of a hot key:\n");
    println!(
        "{:<32}{:>10}{:>10}{:>12}{:>10}{:>10}",
        "", "admitted", "calls", "deny cache", "lease", "time"
    );
    for (name, tier) in [
        ("every decision is the store's", LocalTier::none()),
        // What a limiter does unless it is told otherwise.
        ("deny_cache()", LocalTier::deny_cache()),
        ("deny_cache().lease(100)", LocalTier::deny_cache().lease(100)),
    ] {
        for policy in [&LOGIN, &SEARCH] {
            // Budgets of this run's own.
            let prefix = format!("tollgate:two-tier:{}:{name}:", std::process::id());
            let backend =
                RedisBackend::builder(&url).key_prefix(&prefix).deadline(PATIENCE).build()?;
            let limiter = Limiter::builder(backend).local_tier(tier.clone()).build();
            limiter.initialize().await?;

            let (before, since) = (calls(&mut server)?, std::time::Instant::now());
            let [mut admitted, mut denied, mut leased] = [0; 3];
            for _ in 0..REQUESTS {
                let decision = limiter.check(policy, "203.0.113.7").await?;
                admitted += u32::from(decision.is_allowed());
                denied += u32::from(decision.source() == Source::DenyCache);
                leased += u32::from(decision.source() == Source::Lease);
            }
            let (calls, time) = (calls(&mut server)? - before, since.elapsed());
            println!(
                "{:<32}{admitted:>10}{calls:>10}{denied:>12}{leased:>10}{:>7} ms",
                format!("{name}, {}", policy.name()),
                time.as_millis()
            );
            limiter.close().await;
        }
    }
    Ok(())
}

/// How often the script was called, by the server's own count.
fn calls(server: &mut redis::Connection) -> Result<u64, Box<dyn Error>> {
    let info: String = redis::cmd("INFO").arg("commandstats").query(server)?;
    let line = info.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls = line.and_then(|line| line.split(',').next()).unwrap_or("0");
    Ok(calls.parse()?)
}
