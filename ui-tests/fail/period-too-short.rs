use tollgate::rate_limit;

#[rate_limit(1, per = "999us")]
async fn handler() {}

fn main() {}
