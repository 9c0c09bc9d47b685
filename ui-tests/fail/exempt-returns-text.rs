use tollgate::rate_limit;

fn internal(_: &axum::http::request::Parts) -> &'static str {
    "yes"
}

#[rate_limit(100, per = 60, exempt = self::internal)]
async fn handler() {}

fn main() {}
