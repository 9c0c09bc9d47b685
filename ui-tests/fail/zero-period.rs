use tollgate::rate_limit;

#[rate_limit(100, per = 0)]
async fn handler() {}

fn main() {}
