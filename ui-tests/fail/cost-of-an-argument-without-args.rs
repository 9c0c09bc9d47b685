use axum::Json;
use tollgate::rate_limit;

#[rate_limit(100, per = 60, cost = items.len())]
async fn handler(Json(items): Json<Vec<u32>>) -> String {
    items.len().to_string()
}

#[rate_limit(100, per = 60, key = args(), cost = units)]
fn function(units: u32) -> Result<u32, tollgate::RateLimited> {
    Ok(units)
}

fn main() {}
