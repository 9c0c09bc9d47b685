use axum::extract::Path;
use tollgate::rate_limit;

#[rate_limit(10, per = 60, key = (args(id), ip), on_missing_key = exempt)]
async fn login(Path(id): Path<u32>) -> Result<(), tollgate::RateLimited> {
    let _ = id;
    Ok(())
}

fn main() {}
