use tollgate::rate_limit;

#[rate_limit(100, per = 60, burst = 10)]
async fn handler() {}

fn main() {}
