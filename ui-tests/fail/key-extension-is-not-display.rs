use tollgate::rate_limit;

struct User;

#[rate_limit(100, per = 60, key = extension(User))]
async fn handler() {}

fn main() {}
