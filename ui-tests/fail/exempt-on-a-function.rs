use tollgate::rate_limit;

fn internal(_: &axum::http::request::Parts) -> bool {
    true
}

#[rate_limit(100, per = 60, key = args(id), exempt = self::internal)]
async fn call(id: u32) -> Result<(), tollgate::RateLimited> {
    let _ = id;
    Ok(())
}

fn main() {}
