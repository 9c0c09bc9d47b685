#![deny(warnings, unused_qualifications)]
#![allow(clippy::non_minimal_cfg, reason = "the shortest conditions that hold always and never")]

use axum::Router;
use axum::http::{HeaderMap, Method};
use axum::routing::get;
use tollgate::rate_limit;

/// One of the last two takes the body.
#[rate_limit(1, per = 60)]
async fn handler(
    #[cfg(any())] _: DoesNotExist,
    #[allow(unused_variables)] method: Method,
    #[cfg(all())] headers: HeaderMap,
    #[cfg(all())] body: String,
    #[cfg(not(all()))] body: DoesNotExist,
) -> String {
    format!("{headers:?} {body}")
}

/// Only one is left.
#[rate_limit(1, per = 60)]
async fn parts(#[cfg(all())] method: Method, #[cfg(any())] _body: String) -> String {
    method.to_string()
}

/// None is left.
#[rate_limit(1, per = 60)]
async fn nothing(#[cfg(any())] _body: String) {}

fn main() {
    let _: Router = Router::new()
        .route("/", get(handler))
        .route("/parts", get(parts))
        .route("/nothing", get(nothing));
}
