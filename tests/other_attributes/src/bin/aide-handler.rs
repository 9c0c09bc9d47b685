//! aide `api_route`|handler|–

use aide::axum::ApiRouter;
use aide::axum::routing::get;
use other_attributes::{admits, nothing, run};
use tollgate::rate_limit;

#[rate_limit(2, per = 60)]
async fn list() -> String {
    String::new()
}

#[tokio::main]
async fn main() {
    let router: axum::Router = ApiRouter::new().api_route("/orders", get(list)).into();
    run(async |_| admits(&router, "/orders").await, nothing).await;
}
