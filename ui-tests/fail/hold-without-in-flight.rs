use tollgate::rate_limit;

#[rate_limit(100, per = 60, hold = "1m")]
async fn beside_a_rate() {}

#[rate_limit(hold = "1m")]
async fn alone() {}

fn main() {}
