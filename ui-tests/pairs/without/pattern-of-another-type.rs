#[allow(unused_imports)]
use tollgate::rate_limit;

use axum::Json;
use axum::extract::Path;

// Without the attribute.
async fn handler(Path((id, name)): Path<u32>, Json(text): Json<String>) -> String {
    format!("{id} {name} {text}")
}

fn main() {}
