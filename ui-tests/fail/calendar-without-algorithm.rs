use tollgate::rate_limit;

#[rate_limit(100, per = calendar(month))]
async fn handler() {}

fn main() {}
