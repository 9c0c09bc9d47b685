use tollgate::rate_limit;

#[rate_limit(100, per = 60, wait = "1s")]
async fn handler() {}

fn main() {}
