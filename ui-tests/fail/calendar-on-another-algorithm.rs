use tollgate::rate_limit;

#[rate_limit(100, per = calendar(month), algorithm = gcra)]
async fn handler() {}

fn main() {}
