use tollgate::rate_limit;

fn tenant(_: &axum::http::request::Parts) -> Vec<u8> {
    Vec::new()
}

#[rate_limit(100, per = 60, key = self::tenant)]
async fn handler() {}

fn main() {}
