use tollgate::rate_limit;

#[rate_limit(100, per = calendar(mont), algorithm = fixed_window)]
async fn handler() {}

fn main() {}
