use axum::Json;
use tollgate::rate_limit;

#[rate_limit(100, per = 60, cost = args(text))]
async fn handler(Json(text): Json<String>) -> String {
    text
}

#[rate_limit(100, per = 60, cost = args(weight * 1.5))]
fn function(weight: f64) -> Result<f64, tollgate::RateLimited> {
    Ok(weight)
}

fn main() {}
