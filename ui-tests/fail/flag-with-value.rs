use tollgate::rate_limit;

#[rate_limit(100, per = 60, skip_on_error = true)]
async fn handler() {}

fn main() {}
