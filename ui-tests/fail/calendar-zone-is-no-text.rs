use tollgate::rate_limit;

#[rate_limit(100, per = calendar(day, 2), algorithm = fixed_window)]
async fn handler() {}

fn main() {}
