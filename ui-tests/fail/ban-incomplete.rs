use tollgate::rate_limit;

#[rate_limit(100, per = 60, ban(after = 5))]
async fn without_a_length() {}

#[rate_limit(100, per = 60, ban(for = "15m", grow = 2))]
async fn without_a_number() {}

fn main() {}
