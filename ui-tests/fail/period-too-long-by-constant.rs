use tollgate::rate_limit;

#[rate_limit(1, per = 367 * 24 * 60 * 60)]
async fn handler() {}

fn main() {}
