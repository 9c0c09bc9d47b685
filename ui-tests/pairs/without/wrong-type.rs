#[allow(unused_imports)]
use tollgate::rate_limit;

// Without the attribute.
async fn handler() -> String {
    let number: u32 = "seven";
    format!("{number}")
}

fn main() {}
