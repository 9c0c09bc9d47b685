use tollgate::rate_limit;

#[rate_limit(1_000_001, per = second)]
async fn handler() {}

fn main() {}
