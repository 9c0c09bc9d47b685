#![deny(warnings)]

use axum::Router;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::get;
use tollgate::http::Refusal;
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

fn slow_down(refusal: &Refusal<'_>) -> (axum::http::StatusCode, &'static str) {
    (refusal.status(), "slow down")
}

fn problem(refusal: &Refusal<'_>) -> impl axum::response::IntoResponse {
    refusal.problem().detail("slow down").instance("urn:1")
}

#[rate_limit(
    100,
    per = minute,
    algorithm = token_bucket,
    burst = 20,
    key = header("x-api-key"),
    cost = self::weight,
    name = "everything",
    on_error = closed,
    exempt = exempt,
    on_blocked = self::log,
    refund_if = self::refund,
    shadow,
    headers = both,
    refusal = self::slow_down,
    on_missing_key = shared,
    crate = ::tollgate,
)]
#[rate_limit(5, per = second, algorithm = gcra, burst = 2, key = global, group = "all", cost = 2, skip_on_error, headers = legacy, refusal = problem)]
async fn handler() {}

#[rate_limit(100, per = minute, key = query("q"), headers = none, on_missing_key = exempt)]
async fn quiet() {}

#[rate_limit(
    100,
    per = minute,
    key = (args(text.len()), query("q"), ip),
    cost = args(text.len()),
    wait = "2s",
    name = "late",
    exempt = exempt,
    on_blocked = self::log,
    refund_if = self::refund,
    headers = both,
    refusal = self::slow_down,
    on_missing_key = shared,
)]
#[rate_limit(100, per = minute, key = args(text), shadow)]
#[rate_limit(100, per = minute, wait = "1s")]
async fn late(text: String) -> String {
    text
}

#[rate_limit(100, per = minute, key = (ip, query("q")), headers = ietf, on_missing_key = reject)]
async fn loud() {}

fn main() {
    let _: Router = Router::new()
        .route("/", get(handler))
        .route("/quiet", get(quiet))
        .route("/late", get(late))
        .route("/loud", get(loud));
}
