use tollgate::rate_limit;

#[rate_limit(4_294_967_296, per = 3600)]
async fn handler() {}

fn main() {}
