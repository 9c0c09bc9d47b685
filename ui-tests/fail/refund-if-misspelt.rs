use tollgate::rate_limit;

#[rate_limit(100, per = 60, refund_if = fail)]
async fn handler() {}

fn main() {}
