#[allow(unused_imports)]
use tollgate::rate_limit;

// Without the attribute.
async fn handler() -> Result<String, String> {
    let number = 7_u32;
    Ok(number)
}

fn main() {}
