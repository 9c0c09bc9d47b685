// Above or below, `#[debug_handler]` points at the argument.
use axum::extract::Path;
use axum::{Json, debug_handler};
use tollgate::rate_limit;

struct Order;

#[debug_handler]
#[rate_limit(100, per = 60)]
async fn above(_: Path<u32>, _: Order) {}

#[rate_limit(100, per = 60)]
#[debug_handler]
async fn below(_: Path<u32>, _: Order) {}

#[debug_handler]
#[rate_limit(100, per = 60)]
async fn body_first_above(_: Json<u32>, _: Path<u32>) {}

#[rate_limit(100, per = 60)]
#[debug_handler]
async fn body_first_below(_: Json<u32>, _: Path<u32>) {}

fn main() {}
