#[allow(unused_imports)]
use tollgate::rate_limit;

#[rate_limit(100, per = 60)]
async fn handler() -> Result<String, String> {
    let number: u32 = "7".parse()?;
    Ok(number.to_string())
}

fn main() {}
