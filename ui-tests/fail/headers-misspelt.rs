use tollgate::rate_limit;

#[rate_limit(100, per = 60, headers = ieft)]
async fn handler() {}

fn main() {}
