use tollgate::rate_limit;

fn slow_down(_: &tollgate::http::Refusal<'_>) -> &'static str {
    "slow down"
}

#[rate_limit(100, per = 60, key = args(id), refusal = self::slow_down)]
async fn call(id: u32) -> Result<(), tollgate::RateLimited> {
    let _ = id;
    Ok(())
}

fn main() {}
