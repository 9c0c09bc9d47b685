//! A service whose OpenAPI document shows what its limits answer: statuses, header fields and bodies.

use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::routing::get;
use axum::{Json, Router};
use tollgate::{openapi, rate_limit};
use utoipa::OpenApi;

/// Lists the orders of a customer, who is known by a key. `LimitResponses` stands for all that limits answer.
#[utoipa::path(
    get,
    path = "/orders",
    params(("x-api-key" = String, Header, description = "The customer's key.")),
    responses((status = 200, description = "The orders.", body = [String]), openapi::LimitResponses)
)]
#[rate_limit(5, per = 60, name = "orders", key = header("x-api-key"))]
async fn list_orders() -> Json<[&'static str; 2]> {
    Json(["one", "two"])
}

/// Returns the cost of an upload: a unit for each kilobyte that has begun.
fn kilobytes(parts: &Parts) -> u32 {
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse::<u32>().ok()).unwrap_or(0).div_ceil(1024).max(1)
}

/// Imports orders. This limit has no key that a client can leave out, so only some of the responses
/// are named.
#[utoipa::path(
    post,
    path = "/orders",
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 204, description = "The orders are imported."),
        openapi::Forbidden,
        openapi::ContentTooLarge,
        openapi::TooManyRequests,
        openapi::ServiceUnavailable,
    )
)]
#[rate_limit(100, per = minute, name = "import", cost = self::kilobytes)]
async fn import_orders(request: Request) -> axum::http::StatusCode {
    drop(request);
    axum::http::StatusCode::NO_CONTENT
}

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(title = "Orders", description = "A service with limits.", license(name = "MIT")),
    paths(list_orders, import_orders)
)]
struct Document;

/// Returns the OpenAPI document of the service.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Returns the service, which also serves its document.
pub fn app() -> Router {
    Router::new()
        .route("/orders", get(list_orders).post(import_orders))
        .route("/openapi.json", get(async || Json(document())))
}
