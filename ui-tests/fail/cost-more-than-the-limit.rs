use tollgate::rate_limit;

#[rate_limit(10, per = 60, cost = 11)]
async fn handler() {}

fn main() {}
