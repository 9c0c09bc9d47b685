use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = query(""))]
async fn handler() {}

fn main() {}
