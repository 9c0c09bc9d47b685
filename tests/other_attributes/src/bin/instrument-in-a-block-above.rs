//! tracing `instrument` in `#[rate_limit] impl`|handler|above

use axum::extract::Path;
use axum::routing::get;
use other_attributes::{Spans, admits, run};
use tollgate::rate_limit;

struct Api;

#[rate_limit]
impl Api {
    #[tracing::instrument]
    #[rate_limit(2, per = 60)]
    async fn show(Path(id): Path<u32>) -> String {
        id.to_string()
    }
}

#[tokio::main]
async fn main() {
    let spans = Spans::record();
    let router = axum::Router::new().route("/orders/{id}", get(Api::show));
    run(async |_| admits(&router, "/orders/1").await, async || spans.summary()).await;
}
