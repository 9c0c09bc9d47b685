#[allow(unused_imports)]
use tollgate::rate_limit;

use axum::Json;
use axum::extract::Path;

#[rate_limit(100, per = 60)]
async fn handler(Path((id, name)): Path<u32>, Json(text): Json<String>) -> String {
    format!("{id} {name} {text}")
}

fn main() {}
