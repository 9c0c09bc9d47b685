//! axum `debug_handler`, no arguments|handler|below

use axum::routing::get;
use other_attributes::{admits, nothing, run};
use tollgate::rate_limit;

#[rate_limit(2, per = 60)]
#[axum::debug_handler]
async fn list() -> String {
    String::new()
}

#[tokio::main]
async fn main() {
    let router = axum::Router::new().route("/orders", get(list));
    run(async |_| admits(&router, "/orders").await, nothing).await;
}
