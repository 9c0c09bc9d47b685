use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = args(id), wait = 0)]
async fn call(id: u32) -> Result<u32, tollgate::RateLimited> {
    Ok(id)
}

fn main() {}
