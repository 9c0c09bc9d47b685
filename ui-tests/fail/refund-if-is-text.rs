use tollgate::rate_limit;

#[rate_limit(100, per = 60, refund_if = "failure")]
async fn handler() {}

fn main() {}
