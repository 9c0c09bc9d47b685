use tollgate::rate_limit;

fn log() {}

#[rate_limit(100, per = 60, on_blocked = self::log)]
async fn handler() {}

fn main() {}
