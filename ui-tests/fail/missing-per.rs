use tollgate::rate_limit;

#[rate_limit(100)]
async fn handler() {}

fn main() {}
