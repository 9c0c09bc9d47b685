use tollgate::rate_limit;

#[rate_limit(0, pre = 60, key = "ip")]
async fn handler() {}

fn main() {}
