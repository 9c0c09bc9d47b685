use tollgate::rate_limit;

struct Tenant;

const TENANT: Tenant = Tenant;

#[rate_limit(100, per = 60, key = self::TENANT)]
async fn handler() {}

fn main() {}
