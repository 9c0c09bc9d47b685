use tollgate::rate_limit;

#[rate_limit(100, per = 60, headers = "ietf")]
async fn handler() {}

fn main() {}
