//! axum-typed-routing `route`|handler|above

use axum_typed_routing::{TypedRouter as _, route};
use other_attributes::{admits, nothing, run};
use tollgate::{RateLimited, rate_limit};

#[route(GET "/orders/{id}")]
#[rate_limit(2, per = 60)]
async fn show(id: u32) -> Result<String, RateLimited> {
    Ok(id.to_string())
}

#[tokio::main]
async fn main() {
    let router: axum::Router = axum::Router::new().typed_route(show);
    run(async |_| admits(&router, "/orders/1").await, nothing).await;
}
