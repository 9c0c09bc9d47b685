use tollgate::rate_limit;

struct Api;

#[rate_limit]
impl Api {
    const AFTER: u32 = 5;

    #[rate_limit(100, per = 60, ban(after = Self::AFTER, for = "15m"))]
    async fn handler() {}
}

fn main() {}
