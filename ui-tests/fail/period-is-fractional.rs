use tollgate::rate_limit;

#[rate_limit(100, per = 1.5)]
async fn handler() {}

fn main() {}
