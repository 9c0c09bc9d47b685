use tollgate::rate_limit;

struct Api;

#[rate_limit]
impl Api {
    #[cfg_attr(not(test), rate_limit(100))]
    async fn list() {}
}

fn main() {}
