#![deny(warnings, unused_qualifications)]

use axum::Router;
use axum::routing::get;

fn router() -> Router {
    use tollgate::rate_limit;

    const LIMIT: u32 = 5;

    #[rate_limit(LIMIT, per = 60)]
    async fn handler() -> &'static str {
        "local"
    }

    Router::new().route("/", get(handler))
}

fn main() {
    let _ = router();
}
