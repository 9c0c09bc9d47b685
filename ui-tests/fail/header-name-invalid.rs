use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = header("x api key"))]
async fn handler() {}

fn main() {}
