use tollgate::rate_limit;

const MOST: u32 = 0;

#[rate_limit(in_flight = MOST)]
async fn handler() {}

fn main() {}
