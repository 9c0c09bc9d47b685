use tollgate::rate_limit;

#[rate_limit(-1, per = 60)]
async fn handler() {}

fn main() {}
