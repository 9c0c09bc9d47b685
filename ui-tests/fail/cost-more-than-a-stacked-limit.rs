use tollgate::rate_limit;

#[rate_limit(100, per = hour, cost = 11)]
#[rate_limit(10, per = minute)]
async fn handler() {}

fn main() {}
