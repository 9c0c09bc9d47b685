use tollgate::rate_limit;

#[rate_limit(100, per = 60, cost = -1)]
async fn handler() {}

fn main() {}
