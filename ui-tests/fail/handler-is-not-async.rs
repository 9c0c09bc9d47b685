use axum::extract::{Path, State};
use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
fn status() -> &'static str {
    "ok"
}

#[rate_limit(100, per = 60)]
fn show(State(_): State<u32>, Path(id): Path<u32>) -> String {
    id.to_string()
}

#[rate_limit(100, per = 60)]
fn nothing() {}

fn main() {}
