use tollgate::rate_limit;

#[rate_limit(100, per = 60, ban = "15m")]
async fn handler() {}

fn main() {}
