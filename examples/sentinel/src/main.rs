//! Redis behind Sentinel: the limiter asks the sentinels which server is the primary, and again
//! whenever that one is lost.
//!
//! ```console
//! cargo run -p sentinel          # 15 seconds
//! ```
//!
//! It starts servers and sentinels of its own, for which Redis must be installed, and kills the
//! primary after 3 seconds. `REDIS_URL=redis://a:26379,b:26379/0?sentinel_master=mymaster` names
//! others, of which it kills none.

use std::error::Error;
use std::time::Duration;

use own_redis::OwnSentinels;
use tollgate::{Limiter, Policy, Quota, RedisBackend};

const POLICY: Policy = Policy::new("sentinel-example", Quota::new(20, Duration::from_secs(10)));

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let seconds: u32 = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?,
        None => 15,
    };
    let mut own = None;
    let url = match std::env::var("REDIS_URL") {
        Ok(url) if !url.is_empty() => url,
        _ => own.insert(OwnSentinels::start()?).url(),
    };
    let limiter = Limiter::new(RedisBackend::from_url(&url).await?);
    limiter.initialize().await?;
    for second in 0..seconds {
        if let (3, Some(own)) = (second, &mut own) {
            println!("The primary is killed.");
            own.kill_the_primary();
        }
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
