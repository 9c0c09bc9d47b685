use tollgate::rate_limit;

#[rate_limit(100, per = 60, name = "orders")]
#[rate_limit(1000, per = 60, key = global, name = "orders")]
async fn handler() {}

fn main() {}
