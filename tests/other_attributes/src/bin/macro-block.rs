//! `macro_rules!`, body as `$body:block`|handler|above

use axum::routing::get;
use other_attributes::{admits, nothing, run};
use tollgate::rate_limit;

macro_rules! handler {
    ($name:ident $body:block) => {
        #[rate_limit(2, per = 60)]
        async fn $name() -> &'static str $body
    };
}

handler!(list { "orders" });

#[tokio::main]
async fn main() {
    let router = axum::Router::new().route("/orders", get(list));
    run(async |_| admits(&router, "/orders").await, nothing).await;
}
