use tollgate::rate_limit;

const LIMIT: u32 = 0;

#[rate_limit(LIMIT, per = calendar(month), algorithm = fixed_window)]
async fn handler() {}

fn main() {}
