use std::future::Future;
use std::pin::Pin;

use tollgate::{RateLimited, rate_limit};

async fn quick(id: u32) -> Result<u32, RateLimited> {
    Ok(id)
}

#[rate_limit(100, per = 60, key = args(id))]
fn call(id: u32) -> Pin<Box<dyn Future<Output = Result<u32, RateLimited>>>> {
    if id == 0 {
        return Box::pin(quick(id));
    }
    Box::pin(async move { quick(id).await })
}

fn main() {}
