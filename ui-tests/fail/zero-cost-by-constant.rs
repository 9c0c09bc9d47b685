use tollgate::rate_limit;

const COST: u32 = 0;

#[rate_limit(100, per = 60, cost = COST)]
async fn handler() {}

fn main() {}
