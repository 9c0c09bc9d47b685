#[allow(unused_imports)]
use tollgate::rate_limit;

// Without the attribute.
async fn handler() -> Result<String, String> {
    let number: u32 = "7".parse()?;
    Ok(number.to_string())
}

fn main() {}
