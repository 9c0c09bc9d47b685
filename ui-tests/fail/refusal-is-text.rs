use tollgate::rate_limit;

#[rate_limit(100, per = 60, refusal = "slow down")]
async fn handler() {}

fn main() {}
