use tollgate::rate_limit;

#[rate_limit(inflight = 20)]
async fn handler() {}

fn main() {}
