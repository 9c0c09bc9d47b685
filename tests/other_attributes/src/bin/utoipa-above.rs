//! utoipa `path`|handler|above

use axum::extract::Path;
use axum::routing::get;
use other_attributes::{admits, run};
use tollgate::rate_limit;
use utoipa::OpenApi;

/// Shows an order.
#[utoipa::path(get, path = "/orders/{id}", responses((status = 200, body = String)))]
#[rate_limit(2, per = 60)]
async fn show(Path(id): Path<u32>) -> String {
    id.to_string()
}

#[derive(OpenApi)]
#[openapi(paths(show))]
struct Limited;

mod plain {
    use super::*;

    /// Shows an order.
    #[utoipa::path(get, path = "/orders/{id}", responses((status = 200, body = String)))]
    async fn show(Path(id): Path<u32>) -> String {
        id.to_string()
    }

    #[derive(OpenApi)]
    #[openapi(paths(show))]
    pub struct Unlimited;

    pub fn handler() {
        let _ = show;
    }
}

#[tokio::main]
async fn main() {
    plain::handler();
    let router = axum::Router::new().route("/orders/{id}", get(show));
    run(async |_| admits(&router, "/orders/1").await, async || {
        let [limited, plain] = [Limited::openapi(), plain::Unlimited::openapi()];
        let alike = limited.to_json().unwrap() == plain.to_json().unwrap();
        format!("the document {} that of the handler without a limit", if alike { "is" } else { "is not" })
    })
    .await;
}
