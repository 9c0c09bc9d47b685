use tollgate::rate_limit;

#[rate_limit(0, per = 60)]
async fn handler() {}

fn main() {}
