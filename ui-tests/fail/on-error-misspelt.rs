use tollgate::rate_limit;

#[rate_limit(100, per = 60, on_error = close)]
async fn handler() {}

fn main() {}
