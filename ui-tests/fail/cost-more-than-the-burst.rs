use tollgate::rate_limit;

#[rate_limit(100, per = 60, algorithm = token_bucket, burst = 10, cost = 11)]
async fn handler() {}

fn main() {}
