use tollgate::rate_limit;

#[rate_limit(per = 60)]
async fn handler() {}

fn main() {}
