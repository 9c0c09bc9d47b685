use tollgate::rate_limit;

const LIMIT: u32 = 0;

#[rate_limit(LIMIT, per = 60)]
async fn handler() {}

fn main() {}
