// Known and documented: put `#[debug_handler]` below.
use tollgate::rate_limit;

#[axum::debug_handler]
#[rate_limit(100, per = 60)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
