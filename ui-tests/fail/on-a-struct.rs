use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
struct Orders;

fn main() {}
