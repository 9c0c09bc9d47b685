//! Redis behind Sentinel: the limiter asks the sentinels which server is the primary, and again
//! whenever that one is lost.
//!
//! ```console
//! cargo run --example sentinel          # 30 seconds
//! ```
//!
//! It expects sentinels on localhost:26379 to 26381 that watch `mymaster`; name others as
//! `REDIS_URL=redis://a:26379,b:26379/0?sentinel_master=mymaster`. End the primary while it runs.

use std::error::Error;
use std::time::Duration;

use tollgate::{Limiter, Policy, Quota, RedisBackend};

const POLICY: Policy = Policy::new("sentinel-example", Quota::new(20, Duration::from_secs(10)));

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let seconds: u32 = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?,
        None => 30,
    };
    let backend = match std::env::var("REDIS_URL") {
        Ok(url) => RedisBackend::from_url(&url).await?,
        Err(_) => {
            RedisBackend::builder("redis://localhost:26379,localhost:26380,localhost:26381/0")
                .sentinel_master("mymaster")
                .build()?
        }
    };
    let limiter = Limiter::new(backend);
    limiter.initialize().await?;
    for second in 0..seconds {
        match limiter.check(&POLICY, "somebody").await {
            Ok(decision) if decision.is_allowed() => {
                println!("{second} s: allowed, {} remain", decision.remaining());
            }
            Ok(decision) => println!("{second} s: refused for {:?}", decision.retry_after()),
            // The primary is gone, and no other one is named yet.
            Err(error) => {
                println!("{second} s: {error}: {:?}", error.source().map(ToString::to_string));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    limiter.close().await;
    Ok(())
}
