#![deny(warnings)]

use axum::Router;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::get;
use tollgate::{Blocked, rate_limit};

fn exempt(_: &Parts) -> bool {
    false
}

fn weight(_: &Parts) -> u32 {
    1
}

fn log(_: &Blocked<'_>) {}

fn refund(response: &Response) -> bool {
    response.status().is_redirection()
}

#[rate_limit(
    100,
    per = minute,
    algorithm = token_bucket,
    burst = 20,
    key = ip,
    cost = self::weight,
    name = "everything",
    on_error = closed,
    exempt = exempt,
    on_blocked = self::log,
    refund_if = self::refund,
    shadow,
    crate = ::tollgate,
)]
#[rate_limit(5, per = second, algorithm = gcra, burst = 2, key = global, group = "all", cost = 2, skip_on_error)]
async fn handler() {}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
