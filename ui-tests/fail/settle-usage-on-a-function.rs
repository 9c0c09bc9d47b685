use tollgate::{RateLimited, rate_limit};

#[rate_limit(100, per = 60, key = args(), settle = usage)]
async fn function() -> Result<u32, RateLimited> {
    Ok(1)
}

fn main() {}
