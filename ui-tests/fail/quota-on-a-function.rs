use axum::http::request::Parts;
use tollgate::{Quota, RateLimited, rate_limit};

fn plan(_: &Parts) -> Option<Quota> {
    None
}

#[rate_limit(100, per = 60, key = args(id), quota = self::plan)]
async fn call(id: u32) -> Result<(), RateLimited> {
    let _ = id;
    Ok(())
}

fn main() {}
