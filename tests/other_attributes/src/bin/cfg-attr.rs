//! `cfg_attr(…, rate_limit(…))` in `#[rate_limit] impl`|handler|–

use axum::routing::get;
use other_attributes::{admits, nothing, run};
use tollgate::rate_limit;

struct Api;

#[rate_limit]
impl Api {
    #[cfg_attr(not(test), rate_limit(2, per = 60))]
    async fn list() -> &'static str {
        "orders"
    }
}

#[tokio::main]
async fn main() {
    let router = axum::Router::new().route("/orders", get(Api::list));
    run(async |_| admits(&router, "/orders").await, nothing).await;
}
