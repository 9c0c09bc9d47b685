use tollgate::rate_limit;

const WAIT: i32 = 2;

#[rate_limit(100, per = 60, key = args(id), wait = WAIT)]
async fn call(id: u32) -> Result<u32, tollgate::RateLimited> {
    Ok(id)
}

fn main() {}
