//! Limits on functions that are no handlers: keyed by their arguments, refusing or waiting.
//!
//! ```console
//! cargo run -p functions
//! ```

use std::error::Error;
use std::time::Instant;

use tollgate::{Limiter, MemoryBackend, RateLimited, rate_limit, set_limiter};

/// At most 2 mails a minute to each recipient; the third is an error.
#[rate_limit(2, per = minute, key = args(recipient))]
async fn send_mail(recipient: &str, text: &str) -> Result<(), RateLimited> {
    println!("  to {recipient}: {text}");
    Ok(())
}

/// Somebody else's service allows 5 calls a second: callers take turns, up to 3 s.
#[rate_limit(5, per = second, key = args(), wait = "3s")]
async fn call_service(number: u32) -> Result<u32, RateLimited> {
    Ok(number * number)
}

/// A function that is not async: one limit for all calls.
#[rate_limit(1, per = hour)]
fn rebuild_index() -> Result<&'static str, RateLimited> {
    Ok("rebuilt")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let limiter = Limiter::new(MemoryBackend::new());
    limiter.initialize().await?;
    set_limiter(limiter);

    println!("Mails:");
    for recipient in ["alice", "alice", "alice", "bob"] {
        if let Err(limited) = send_mail(recipient, "hello").await {
            println!("  not to {recipient}: {limited}");
        }
    }

    println!("Ten calls at five per second:");
    let start = Instant::now();
    let calls = (1..=10).map(|number| tokio::spawn(call_service(number)));
    for call in calls.collect::<Vec<_>>() {
        let result = call.await??;
        println!("  {result:3} after {:.1} s", start.elapsed().as_secs_f64());
    }

    println!(
        "Index: {:?}, then {:?}",
        rebuild_index()?,
        rebuild_index().map_err(|e| e.to_string())
    );
    Ok(())
}
