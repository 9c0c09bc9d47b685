use tollgate::rate_limit;

#[rate_limit(100, per = 60, refund_if = failure, settle = usage)]
async fn handler() {}

#[rate_limit(100, per = 60, settle = usage)]
#[rate_limit(1_000, per = day, refund_if = success)]
async fn stacked() {}

fn main() {}
