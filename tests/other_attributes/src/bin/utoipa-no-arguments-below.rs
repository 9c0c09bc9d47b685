//! utoipa `path`, no arguments|handler|below

use axum::routing::get;
use other_attributes::{admits, nothing, run};
use tollgate::rate_limit;
use utoipa::OpenApi;

#[rate_limit(2, per = 60)]
#[utoipa::path(get, path = "/orders", responses((status = 200, body = String)))]
async fn list() -> String {
    String::new()
}

#[derive(OpenApi)]
#[openapi(paths(list))]
struct Document;

#[tokio::main]
async fn main() {
    let _ = Document::openapi();
    let router = axum::Router::new().route("/orders", get(list));
    run(async |_| admits(&router, "/orders").await, nothing).await;
}
