use std::rc::Rc;

use axum::Router;
use axum::routing::get;
use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
async fn handler() -> String {
    let shared = Rc::new(1);
    std::future::ready(()).await;
    shared.to_string()
}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
