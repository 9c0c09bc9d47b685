use tollgate::rate_limit;

#[rate_limit(100, per = 60, algorithm = sliding_windows)]
async fn handler() {}

fn main() {}
