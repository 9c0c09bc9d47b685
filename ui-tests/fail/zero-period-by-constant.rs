use std::time::Duration;

use tollgate::rate_limit;

const PERIOD: Duration = Duration::ZERO;

#[rate_limit(100, per = PERIOD)]
async fn handler() {}

fn main() {}
