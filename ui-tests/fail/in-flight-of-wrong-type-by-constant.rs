use tollgate::rate_limit;

const MOST: u64 = 20;

#[rate_limit(in_flight = MOST)]
async fn handler() {}

fn main() {}
