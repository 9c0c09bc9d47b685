#[allow(unused_imports)]
use tollgate::rate_limit;

// Without the attribute.
async fn handler() -> String {
    let number = ;
    String::new()
}

fn main() {}
