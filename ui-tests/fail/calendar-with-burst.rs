use tollgate::rate_limit;

#[rate_limit(100, per = calendar(month), algorithm = fixed_window, burst = 10)]
async fn handler() {}

fn main() {}
