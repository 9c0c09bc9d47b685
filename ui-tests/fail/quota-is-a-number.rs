use tollgate::rate_limit;

#[rate_limit(100, per = 60, quota = 50)]
async fn list() {}

fn main() {}
