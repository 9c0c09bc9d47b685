//! The limit that every sign-in needs: failures are counted for each account and address, and for
//! each address alone. Who is refused again and again is banned, longer each time. A success forgives
//! earlier failures, and support unlocks somebody by name.

use std::net::IpAddr;

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use tollgate::{Limiter, RateLimited, Subject, get_limiter, rate_limit};

/// What somebody signs in with.
#[derive(Deserialize)]
struct Login {
    email: String,
    password: String,
}

/// Returns the account of an address, which may be written in several ways.
fn account(email: &str) -> String {
    email.trim().to_lowercase()
}

#[rate_limit(
    5,
    per = "15m",
    key = (args(account(&login.email)), ip),
    name = "sign-in",
    refund_if = success,
    ban(after = 10, for = "1h", grow = 2)
)]
#[rate_limit(
    20,
    per = "15m",
    name = "sign-in-address",
    refund_if = success,
    ban(after = 10, for = "1h", grow = 2)
)]
async fn sign_in(Json(login): Json<Login>) -> StatusCode {
    // A real service compares a hash, in constant time.
    if login.password == "correct horse" { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
}

/// Whom support unlocks.
#[derive(Deserialize)]
struct Unlock {
    email: String,
    address: IpAddr,
}

/// Forgets the failures of an account from an address, and ends its ban. A real service lets only
/// support come here.
async fn unlock(Json(unlock): Json<Unlock>) -> Result<StatusCode, RateLimited> {
    let who = Subject::all([Subject::args([account(&unlock.email)]), Subject::ip(unlock.address)]);
    for limit in Limiter::policies().filter(|limit| limit.name() == "sign-in") {
        get_limiter().reset(limit.policy(), &who).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the service.
pub fn app() -> Router {
    Router::new().route("/sign-in", post(sign_in)).route("/unlock", post(unlock))
}
