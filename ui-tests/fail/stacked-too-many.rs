use tollgate::rate_limit;

#[rate_limit(1, per = 10)]
#[rate_limit(2, per = 20)]
#[rate_limit(3, per = 30)]
#[rate_limit(4, per = 40)]
#[rate_limit(5, per = 50)]
async fn handler() {}

fn main() {}
