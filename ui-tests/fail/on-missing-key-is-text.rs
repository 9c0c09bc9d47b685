use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = query("q"), on_missing_key = "shared")]
async fn handler() {}

fn main() {}
