use axum::response::Response;
use tollgate::rate_limit;

fn tokens(_: &Response) -> u32 {
    1
}

#[rate_limit(100, per = 60, settle = tokens)]
async fn handler() {}

#[rate_limit(100, per = 60, settle = usge)]
async fn misspelt() {}

#[rate_limit(100, per = 60, settle = "usage")]
async fn text() {}

fn main() {}
