use tollgate::rate_limit;

#[rate_limit(100, per = 60, colour = red)]
async fn handler() {}

fn main() {}
