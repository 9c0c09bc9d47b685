use tollgate::rate_limit;

#[rate_limit(100, per =)]
async fn handler() {}

fn main() {}
