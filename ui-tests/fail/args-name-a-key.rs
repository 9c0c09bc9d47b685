use axum::Json;
use tollgate::{RateLimited, rate_limit};

#[derive(serde::Deserialize)]
struct Login {
    email: String,
}

#[rate_limit(5, per = 60, key = args(login.email, ip))]
async fn sign_in(Json(login): Json<Login>) -> Result<String, RateLimited> {
    Ok(login.email)
}

#[rate_limit(5, per = 60, key = args(id, header("x-api-key")))]
async fn call(id: u32) -> Result<u32, RateLimited> {
    Ok(id)
}

fn main() {}
