//! axum `debug_handler`|handler|below

use axum::extract::Path;
use axum::routing::get;
use other_attributes::{admits, nothing, run};
use tollgate::rate_limit;

#[rate_limit(2, per = 60, name = "orders")]
#[axum::debug_handler]
async fn show(Path(id): Path<u32>) -> String {
    id.to_string()
}

#[tokio::main]
async fn main() {
    let router = axum::Router::new().route("/orders/{id}", get(show));
    run(async |_| admits(&router, "/orders/1").await, nothing).await;
}
