use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = cookie("session id"))]
async fn handler() {}

fn main() {}
