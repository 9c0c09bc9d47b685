use tollgate::rate_limit;

#[rate_limit(100, per = 60, cost = 2)]
#[rate_limit(1000, per = hour, cost = 3)]
async fn handler() {}

fn main() {}
