use tollgate::rate_limit;

fn failed(result: &Result<(), String>) -> bool {
    result.is_err()
}

#[rate_limit(100, per = 60, key = args(), refund_if = self::failed)]
async fn call(id: u32) -> Result<u32, tollgate::RateLimited> {
    Ok(id)
}

fn main() {}
