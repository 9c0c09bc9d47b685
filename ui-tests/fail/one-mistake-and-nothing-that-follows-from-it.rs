use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use tollgate::rate_limit;

#[rate_limit(100, per = 60, kye = ip)]
async fn handler(Path(id): Path<u32>) -> String {
    id.to_string()
}

#[rate_limit(100, per = 60, key = args(id), burst = 3)]
async fn call(id: u32) -> Result<u32, tollgate::RateLimited> {
    Ok(id)
}

fn main() {
    // The functions are still there and what they were.
    let _: Router = Router::new().route("/{id}", get(handler));
    drop(call(1));
}
