use tollgate::rate_limit;

struct Api;

#[rate_limit]
impl Api {
    const MOST: u32 = 5;
    const HOLD: u32 = 5;

    #[rate_limit(in_flight = Self::MOST, hold = Self::HOLD)]
    async fn handler() {}
}

fn main() {}
