#[allow(unused_imports)]
use tollgate::rate_limit;

#[rate_limit(100, per = 60, key = args())]
async fn call() -> Result<String, tollgate::RateLimited> {
    let number = 7_u32;
    Ok(number)
}

fn main() {}
