use tollgate::rate_limit;

const HOLD: &str = "1m";

#[rate_limit(in_flight = 20, hold = HOLD)]
async fn handler() {}

fn main() {}
