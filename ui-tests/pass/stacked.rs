#![deny(warnings, unused_qualifications)]

use axum::Router;
use axum::routing::get;
use tollgate::rate_limit;

/// Documented, and with other attributes between.
#[rate_limit(10, per = second)]
#[doc(alias = "list")]
#[tollgate::rate_limit(100, per = minute)]
#[allow(clippy::unused_async)]
#[rate_limit(1_000, per = hour, key = global)]
async fn handler() {}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
