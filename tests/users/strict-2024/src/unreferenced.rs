//! Referred to by nobody.

#![allow(dead_code, reason = "that is the point")]

use axum::Json;
use axum::extract::{Path, State};
use tollgate::{RateLimited, rate_limit};

/// A handler.
#[rate_limit(10, per = minute)]
pub(crate) async fn list(State(names): State<Vec<String>>) -> Json<Vec<String>> {
    Json(names)
}

/// A handler with all that is there.
///
/// # Errors
///
/// None.
#[rate_limit(10, per = second, key = (ip, header("x-user")), refund_if = failure)]
#[rate_limit(100, per = hour, key = global, skip_on_error, cost = 2)]
pub(crate) async fn show(Path(id): Path<u32>) -> Result<String, String> {
    if id == 0 { Err("none".to_owned()) } else { Ok(id.to_string()) }
}

/// A function.
///
/// # Errors
///
/// If the limit is reached.
#[rate_limit(10, per = second, key = args(name), wait = "1s", refund_if = failure)]
pub(crate) async fn call(name: &str) -> Result<usize, RateLimited> {
    Ok(name.len())
}

/// A function that is not async.
///
/// # Errors
///
/// If the limit is reached.
#[rate_limit(10, per = second, refund_if = success)]
pub(crate) fn call_now(name: &str) -> Result<usize, RateLimited> {
    Ok(name.len())
}

/// A function that is generic, and of which no instance is ever made.
///
/// # Errors
///
/// If the limit is reached.
#[rate_limit(10, per = second, key = args(name))]
pub(crate) async fn generic<T: std::fmt::Display + Sync>(name: &T) -> Result<usize, RateLimited> {
    Ok(name.to_string().len())
}

/// A type with handlers.
#[derive(Clone, Debug)]
pub(crate) struct Api(u32);

#[rate_limit(crate = ::tollgate)]
impl Api {
    /// A handler.
    #[rate_limit(10, per = minute)]
    pub(crate) async fn number(State(api): State<Self>) -> String {
        api.0.to_string()
    }
}
