use tollgate::{Quota, rate_limit};

fn plan() -> Option<Quota> {
    None
}

#[rate_limit(100, per = 60, quota = self::plan)]
async fn list() {}

fn main() {}
