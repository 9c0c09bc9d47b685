use axum::Router;
use axum::routing::get;
use tollgate::rate_limit;

#[rate_limit(1, per = 2, burst = 5, algorithm = gcra)]
async fn hello() -> &'static str {
    "Hello world"
}

pub fn app() -> Router {
    Router::new().route("/", get(hello))
}
