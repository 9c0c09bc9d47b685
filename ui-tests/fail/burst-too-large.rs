use tollgate::rate_limit;

#[rate_limit(1, per = "366d", algorithm = token_bucket, burst = 11)]
async fn handler() {}

fn main() {}
