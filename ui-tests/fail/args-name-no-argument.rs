use axum::Json;
use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = (args(logn.trim().to_lowercase()), ip), cost = args(1 + itms.len()))]
async fn handler(login: String, Json(items): Json<Vec<u32>>) -> String {
    login + &items.len().to_string()
}

#[rate_limit(100, per = 60, key = args(&region))]
fn function(user: u32, name: &str) -> Result<String, tollgate::RateLimited> {
    Ok(format!("{user} {name}"))
}

#[rate_limit(100, per = 60, key = args(id))]
fn without_arguments() -> Result<(), tollgate::RateLimited> {
    Ok(())
}

fn main() {}
