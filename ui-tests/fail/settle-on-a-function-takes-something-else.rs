use axum::response::Response;
use tollgate::{RateLimited, rate_limit};

fn tokens(_: &Response) -> u32 {
    1
}

#[rate_limit(100, per = 60, key = args(), settle = self::tokens)]
async fn function() -> Result<u32, RateLimited> {
    Ok(1)
}

fn main() {}
