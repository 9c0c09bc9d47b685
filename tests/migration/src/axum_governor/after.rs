use axum::Router;
use axum::http::request::Parts;
use axum::routing::get;
use tollgate::{Quota, rate_limit};

fn plan(parts: &Parts) -> Option<Quota> {
    (parts.headers.get("x-plan")? == "pro").then(|| Quota::per_minute(5))
}

#[rate_limit(2, per = minute, algorithm = gcra, key = header("x-user"), quota = self::plan)]
async fn hello() -> &'static str {
    "Hello world"
}

pub fn app() -> Router {
    Router::new().route("/", get(hello))
}
