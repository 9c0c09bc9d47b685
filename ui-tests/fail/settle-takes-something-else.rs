use axum::http::request::Parts;
use axum::response::Response;
use tollgate::rate_limit;

fn tokens(_: &Parts) -> u32 {
    1
}

fn is_large(_: &Response) -> bool {
    true
}

#[rate_limit(100, per = 60, settle = self::tokens)]
async fn of_a_request() {}

#[rate_limit(100, per = 60, settle = self::is_large)]
async fn a_condition() {}

fn main() {}
