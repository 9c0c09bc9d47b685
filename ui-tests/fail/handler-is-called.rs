use axum::extract::{Path, State};
use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
async fn status() -> &'static str {
    "ok"
}

#[rate_limit(100, per = 60)]
async fn show(State(_): State<u32>, Path(id): Path<u32>) -> String {
    id.to_string()
}

async fn in_a_test() {
    status().await;
    show(State(1), Path(2)).await;
}

fn main() {}
