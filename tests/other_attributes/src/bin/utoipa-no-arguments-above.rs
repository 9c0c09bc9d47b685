//! utoipa `path`, no arguments|handler|above

use axum::routing::get;
use other_attributes::{admits, nothing, run};
use tollgate::rate_limit;
use utoipa::OpenApi;

#[utoipa::path(get, path = "/orders", responses((status = 200, body = String)))]
#[rate_limit(2, per = 60)]
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
