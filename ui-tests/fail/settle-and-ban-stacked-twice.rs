use tollgate::rate_limit;

#[rate_limit(100, per = 60, settle = usage, ban(after = 5, for = "15m"))]
#[rate_limit(1_000, per = day, settle = usage, ban(after = 50, for = "1d"))]
async fn handler() {}

fn main() {}
