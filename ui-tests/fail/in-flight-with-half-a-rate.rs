use tollgate::rate_limit;

#[rate_limit(100, in_flight = 20)]
async fn no_period() {}

#[rate_limit(per = 60, in_flight = 20)]
async fn no_limit() {}

fn main() {}
