#[allow(unused_imports)]
use tollgate::rate_limit;

// Without the attribute.
async fn call() -> Result<String, tollgate::RateLimited> {
    let number = 7_u32;
    Ok(number)
}

fn main() {}
