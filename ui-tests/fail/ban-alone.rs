use tollgate::rate_limit;

#[rate_limit(100, per = 60, ban)]
async fn handler() {}

fn main() {}
