use tollgate::rate_limit;

const LIMIT: &str = "100";

#[rate_limit(LIMIT, per = 60)]
async fn handler() {}

fn main() {}
