use axum::http::request::Parts;
use tollgate::rate_limit;

fn plan(_: &Parts) -> u32 {
    50
}

#[rate_limit(100, per = 60, quota = self::plan)]
async fn list() {}

fn main() {}
