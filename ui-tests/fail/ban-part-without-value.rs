use tollgate::rate_limit;

#[rate_limit(100, per = 60, ban(after, for = , most = "1d"))]
async fn handler() {}

fn main() {}
