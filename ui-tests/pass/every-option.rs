#![deny(warnings, unused_qualifications)]

use std::time::Duration;

use axum::Router;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::get;
use tollgate::http::Refusal;
use tollgate::{Blocked, Permit, Quota, RateLimited, Usage, rate_limit};

fn exempt(_: &Parts) -> bool {
    false
}

fn weight(_: &Parts) -> u32 {
    1
}

fn plan(parts: &Parts) -> Result<Option<Quota>, std::fmt::Error> {
    if parts.headers.contains_key("x-pro") { Ok(Some(Quota::per_minute(500))) } else { Ok(None) }
}

async fn awaited(parts: &Parts) -> Option<Quota> {
    std::future::ready(()).await;
    plan(parts).ok().flatten()
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
    quota = self::plan,
    name = "everything",
    on_error = closed,
    exempt = exempt,
    on_blocked = self::log,
    refund_if = self::refund,
    ban(after = 5, for = "15m", grow = 2, most = "1d"),
    in_flight = 20,
    hold = "10m",
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
#[rate_limit(100, per = minute, quota = awaited, wait = "1s")]
async fn late(text: String) -> String {
    text
}

const AFTER: u32 = 5;
const FIRST: Duration = Duration::from_secs(900);

fn tokens(response: &Response) -> u32 {
    response.status().as_u16().into()
}

#[rate_limit(100, per = minute, settle = self::tokens, ban(after = AFTER, for = self::FIRST))]
#[rate_limit(100, per = minute, key = global, settle = usage, ban(for = 60 * 60, after = 2 + 3))]
async fn settled(_: Usage) {}

#[rate_limit(100, per = minute, key = (args(text), ip), ban(after = 5, for = hour, most = "1d",))]
async fn settled_late(_: (Usage, ()), text: String) -> String {
    text
}

const MOST: u32 = 5;
const HOLD: Duration = Duration::from_millis(100);

#[rate_limit(
    in_flight = self::MOST,
    hold = HOLD,
    key = header("x-api-key"),
    name = "exports",
    on_error = local,
    exempt = exempt,
    on_blocked = self::log,
    wait = "5s",
    headers = both,
    refusal = self::slow_down,
    on_missing_key = shared,
)]
#[rate_limit(in_flight = 2 + 3, key = (args(text), ip), hold = day, shadow)]
#[rate_limit(in_flight = 1, group = "all of them")]
#[rate_limit(100, per = minute, cost = 5)]
async fn in_flight(_: Permit, text: String) -> String {
    text
}

#[rate_limit(in_flight = 4, hold = 60 * 60, key = args(tenant), wait = "1s", skip_on_error)]
async fn import(tenant: &str) -> Result<&str, RateLimited> {
    Ok(tenant)
}

#[rate_limit(in_flight = 4)]
fn read() -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(100, per = minute, key = (ip, query("q")), headers = ietf, on_missing_key = reject)]
async fn loud() {}

fn main() {
    let _: Router = Router::new()
        .route("/", get(handler))
        .route("/quiet", get(quiet))
        .route("/late", get(late))
        .route("/settled", get(settled))
        .route("/settled-late", get(settled_late))
        .route("/in-flight", get(in_flight))
        .route("/loud", get(loud));
    drop(import("a"));
    read().unwrap();
}
