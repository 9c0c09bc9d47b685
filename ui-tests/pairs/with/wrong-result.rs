#[allow(unused_imports)]
use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
async fn handler() -> Result<String, String> {
    let number = 7_u32;
    Ok(number)
}

fn main() {}
