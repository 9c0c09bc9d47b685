#![deny(warnings, unused_qualifications)]
#![allow(clippy::non_minimal_cfg, reason = "the shortest conditions that hold always and never")]

use axum::Router;
use axum::routing::get;
use tollgate::rate_limit;

#[rate_limit(1, per = 60)]
#[cfg(any())]
async fn handler() -> DoesNotExist {
    missing()
}

#[rate_limit(1, per = 60)]
#[cfg(all())]
async fn handler() {}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
