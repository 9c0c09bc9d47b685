use axum::extract::State;
use tollgate::rate_limit;

#[derive(Clone)]
struct Api;

impl Api {
    #[rate_limit(100, per = 60)]
    async fn list(State(_): State<Self>) {}
}

fn main() {}
