use tollgate::rate_limit;

#[rate_limit(100, per = 60, ban(afer = 5, for = "15m", until = "1d"))]
async fn handler() {}

fn main() {}
