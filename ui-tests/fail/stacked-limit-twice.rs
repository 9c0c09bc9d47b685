use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
#[rate_limit(100, per = minute)]
async fn handler() {}

fn main() {}
