use tollgate::rate_limit;

#[rate_limit(in_flight)]
async fn word() {}

#[rate_limit(in_flight = , hold = "1m")]
async fn no_value() {}

#[rate_limit(in_flight(20))]
async fn parentheses() {}

#[rate_limit(100, per = 60, in_flight = 2, hold("1m"), shadow())]
async fn beside_a_rate() {}

fn main() {}
