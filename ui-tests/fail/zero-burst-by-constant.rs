use tollgate::rate_limit;

const BURST: u32 = 0;

#[rate_limit(100, per = 60, algorithm = gcra, burst = BURST)]
async fn handler() {}

fn main() {}
