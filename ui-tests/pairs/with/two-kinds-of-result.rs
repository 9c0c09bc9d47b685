#[allow(unused_imports)]
use tollgate::rate_limit;

use axum::response::IntoResponse;

#[rate_limit(100, per = 60)]
async fn handler(body: String) -> impl IntoResponse {
    if body.is_empty() {
        return "empty";
    }
    body
}

fn main() {}
