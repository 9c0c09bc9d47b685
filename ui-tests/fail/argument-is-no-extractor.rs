// The type of the state is not known before the router, so it is reported there, as without the
// attribute.
use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use tollgate::rate_limit;

struct Order;

#[rate_limit(100, per = 60)]
async fn handler(Path(_): Path<u32>, _: Order) {}

#[rate_limit(100, per = 60)]
async fn body_first(_: Json<u32>, _: Path<u32>) {}

fn main() {
    let _: Router = Router::new().route("/", get(handler)).route("/body", get(body_first));
}
