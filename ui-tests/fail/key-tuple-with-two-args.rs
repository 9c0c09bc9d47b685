use axum::extract::Path;
use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = (args(id), ip, args(id)))]
async fn two(Path(id): Path<u32>) -> Result<(), tollgate::RateLimited> {
    let _ = id;
    Ok(())
}

#[rate_limit(100, per = 60, key = (args(id), (ip, global)))]
async fn nested(Path(id): Path<u32>) -> Result<(), tollgate::RateLimited> {
    let _ = id;
    Ok(())
}

fn main() {}
