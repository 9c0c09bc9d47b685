use tollgate::rate_limit;

#[rate_limit(100, per = calendar(month), algorithm = fixed_window)]
#[rate_limit(100, per = calendar(month, "UTC"))]
async fn handler() {}

fn main() {}
