use tollgate::rate_limit;

#[rate_limit(0, per = 60)]
#[rate_limit(100, pre = hour)]
async fn handler() {}

fn main() {}
