#![deny(warnings, unused_qualifications)]

use axum::Router;
use axum::routing::get;
use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = header("X-Api-Key"), name = "hello", skip_on_error)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
