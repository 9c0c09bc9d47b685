use tollgate::rate_limit;

#[rate_limit(100, per = -1)]
async fn handler() {}

fn main() {}
