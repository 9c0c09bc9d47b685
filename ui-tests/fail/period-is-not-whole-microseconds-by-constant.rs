use tollgate::rate_limit;

const PERIOD: std::time::Duration = std::time::Duration::from_nanos(1_000_000_001);

#[rate_limit(100, per = PERIOD)]
async fn handler() {}

fn main() {}
