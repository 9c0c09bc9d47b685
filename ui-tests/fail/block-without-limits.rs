use tollgate::rate_limit;

struct Api;

#[rate_limit]
impl Api {
    async fn list() {}
}

fn main() {}
