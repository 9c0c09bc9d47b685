//! axum-extra `TypedPath`, by `route(Order::PATH, …)`|handler|–

use axum::routing::get;
use axum_extra::routing::TypedPath;
use other_attributes::{admits, nothing, run};
use tollgate::rate_limit;

#[derive(TypedPath, serde::Deserialize)]
#[typed_path("/orders/{id}")]
struct Order {
    id: u32,
}

#[rate_limit(2, per = 60)]
async fn show(Order { id }: Order) -> String {
    id.to_string()
}

#[tokio::main]
async fn main() {
    let router: axum::Router = axum::Router::new().route(Order::PATH, get(show));
    run(async |_| admits(&router, "/orders/1").await, nothing).await;
}
