use tollgate::rate_limit;

#[rate_limit(1, per = "367d")]
async fn handler() {}

fn main() {}
