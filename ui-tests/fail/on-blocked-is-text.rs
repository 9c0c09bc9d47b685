use tollgate::rate_limit;

#[rate_limit(100, per = 60, on_blocked = "log")]
async fn handler() {}

fn main() {}
