use tollgate::rate_limit;

#[rate_limit(100, per = "30m1h")]
async fn handler() {}

fn main() {}
