use tollgate::rate_limit;

struct Api;

impl Api {
    #[rate_limit(100, per = 60)]
    async fn list() {}
}

fn main() {}
