use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = tenant)]
async fn handler() {}

fn main() {}
