use std::future::Future;
use std::pin::Pin;

use tollgate::{RateLimited, rate_limit};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

async fn inner(id: u32) -> Result<u32, RateLimited> {
    Ok(id)
}

#[rate_limit(100, per = 60, key = args(id))]
fn opaque(id: u32) -> impl Future<Output = Result<u32, RateLimited>> + Send {
    inner(id)
}

#[rate_limit(100, per = 60, key = args(id))]
fn boxed(id: u32) -> Pin<Box<dyn Future<Output = Result<u32, RateLimited>>>> {
    let future = inner(id);
    Box::pin(future)
}

#[rate_limit(100, per = 60, key = args(id))]
fn by_a_name(id: u32) -> BoxFuture<'static, Result<u32, RateLimited>> {
    Box::pin(inner(id))
}

fn main() {}
