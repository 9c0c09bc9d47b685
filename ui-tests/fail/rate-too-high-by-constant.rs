use tollgate::rate_limit;

const LIMIT: u32 = 2_000_000;
const LIMIT_PERIOD: u64 = 1;

#[rate_limit(LIMIT, per = LIMIT_PERIOD)]
async fn handler() {}

fn main() {}
