use tollgate::rate_limit;

#[rate_limit(100, per = minutes)]
async fn handler() {}

fn main() {}
