use tollgate::rate_limit;

#[rate_limit(in_flight = 20, hold = "1m")]
#[rate_limit(100, per = 60, in_flight = 10, hold = "2m")]
async fn handler() {}

fn main() {}
