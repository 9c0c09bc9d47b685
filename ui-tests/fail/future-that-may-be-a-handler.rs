use std::future::Future;

use tollgate::{RateLimited, rate_limit};

#[rate_limit(100, per = 60)]
fn list() -> impl Future<Output = Result<&'static str, RateLimited>> {
    async move { Ok("none") }
}

fn main() {}
