#![deny(warnings, unused_qualifications)]
// Nothing that a user calls like something of the prelude or of the expansion gets in the way.
#![allow(dead_code, non_camel_case_types, non_upper_case_globals)]

use axum::Router;
use axum::routing::get;

mod core {}
mod std {}
struct Option;
struct Result;
struct String;
struct Some;
struct u32;
struct Duration;
const LIMITS: usize = 3;
fn drop() {}
const response: &str = "";
const output: &str = "";
const guard: &str = "";

#[tollgate::rate_limit(LIMITS as _, per = 60, key = (ip, header("x")))]
async fn handler() {}

#[tollgate::rate_limit(5, per = 60, refund_if = success)]
async fn refunded() -> &'static str {
    response
}

/// The variables of the expansion are not in the way of those of the user, either.
#[tollgate::rate_limit(5, per = 60, key = (args(arguments, refused, limits), ip), cost = args(limit))]
async fn late(
    axum::extract::Path((arguments, refused, limits, limit)): axum::extract::Path<(u8, u8, u8, u8)>,
) {
    let _ = (arguments, refused, limits, limit);
}

fn main() {
    let _: Router = Router::new()
        .route("/", get(handler))
        .route("/refunded", get(refunded))
        .route("/{a}/{b}/{c}/{d}", get(late));
}
