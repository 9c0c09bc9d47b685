use tollgate::rate_limit;

#[rate_limit(100, per = 60, ban(after = 5, for = "15m", after = 6))]
async fn handler() {}

fn main() {}
