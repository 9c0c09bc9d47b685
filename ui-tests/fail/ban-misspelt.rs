use tollgate::rate_limit;

#[rate_limit(100, per = 60, bann(after = 5, for = "15m"))]
async fn handler() {}

fn main() {}
