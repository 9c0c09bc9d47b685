use tollgate::rate_limit;

const PERIOD: i32 = 60;

#[rate_limit(100, per = PERIOD)]
async fn handler() {}

fn main() {}
