#[allow(unused_imports)]
use tollgate::rate_limit;

use axum::response::IntoResponse;

// Without the attribute.
async fn handler(body: String) -> impl IntoResponse {
    if body.is_empty() {
        return "empty";
    }
    body
}

fn main() {}
