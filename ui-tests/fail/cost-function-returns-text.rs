use tollgate::rate_limit;

fn weight(_: &axum::http::request::Parts) -> String {
    String::new()
}

#[rate_limit(10, per = 60, cost = self::weight)]
async fn handler() {}

fn main() {}
